"""The inner loop of gradient-based methods, and the rates of its steps.

Rates are data: what distinguishes MAML, Meta-SGD and MAML++ are the shapes of what is learned.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from fsjax.types import Array, Params


class Adapted(NamedTuple):
    """Parameters that a task has adapted."""

    params: Params  # after the last step
    path: Params  # [steps, ...] after each step


Loop = Callable[..., Adapted]  # (loss_fn, params, rates), as `inner_loop`


class Rates(NamedTuple):
    """The sizes of the inner steps."""

    init: Callable[[Params], Params]  # what adapts -> what of the rates is learned
    of: Callable[[Params, Params], Params]  # learned, what adapts -> rates, leaves [steps, ...]


def inner_loop(
    loss_fn: Callable[[Params, Array], Array],
    params: Params,
    rates: Params,
    *,
    first_order: bool = False,
    rematerialise: bool = False,
) -> Adapted:
    """Adapts parameters by gradient descent that can be differentiated itself (Finn et al. 2017,
    https://arxiv.org/abs/1703.03400).

    Args:
      loss_fn: (params, i) -> [] the loss of inner step i.
      params: any pytree; all of it adapts.
      rates: of the structure of params; a leaf is [steps, ...] and each step of it is broadcast
        against its parameter.
      first_order: takes the inner gradients for constants, so that the outer one needs no second
        derivatives.
      rematerialise: computes each step anew for the outer gradient, whose memory then grows by
        the size of params and not of all activations with every step.

    Returns:
      The parameters after the last step, and after each.
    """
    steps = len(jax.tree.leaves(rates)[0])

    def step(params: Params, at: tuple[Array, Params]) -> tuple[Params, Params]:
        i, rate = at
        gradients = jax.grad(loss_fn)(params, i)
        if first_order:
            gradients = stop_gradient(gradients)
        params = jax.tree.map(lambda p, r, g: p - r * g, params, rate, gradients)
        return params, params

    step = jax.checkpoint(step) if rematerialise else step
    return Adapted(*jax.lax.scan(step, params, (jnp.arange(steps), rates)))


def constant(rate: float, *, steps: int) -> Rates:
    """The same rate for all parameters and steps, not learned: MAML.

    Args:
      rate: of the descent.
      steps: of the inner loop.

    Raises:
      ValueError: if there is no step.
    """
    _check_steps(steps)

    def of(learned: Params, params: Params) -> Params:
        return jax.tree.map(lambda p: jnp.full(steps, rate, p.dtype), params)

    return Rates(lambda params: {}, of)


def per_parameter(rate: float, *, steps: int) -> Rates:
    """A learned rate for every single parameter, the same in all steps: Meta-SGD (Li et al. 2017,
    https://arxiv.org/abs/1707.09835).

    Args:
      rate: at which all of them start.
      steps: of the inner loop.

    Raises:
      ValueError: if there is no step.
    """
    _check_steps(steps)

    def init(params: Params) -> Params:
        return jax.tree.map(lambda p: jnp.full_like(p, rate), params)

    def of(learned: Params, params: Params) -> Params:
        return jax.tree.map(lambda r: jnp.broadcast_to(r, (steps, *r.shape)), learned)

    return Rates(init, of)


def per_layer_and_step(rate: float, *, steps: int) -> Rates:
    """A learned rate for every array of parameters and every step: those of MAML++ (Antoniou et
    al. 2019, https://arxiv.org/abs/1810.09502).

    Args:
      rate: at which all of them start.
      steps: of the inner loop.

    Raises:
      ValueError: if there is no step.
    """
    _check_steps(steps)

    def init(params: Params) -> Params:
        return jax.tree.map(lambda p: jnp.full(steps, rate, p.dtype), params)

    return Rates(init, lambda learned, params: learned)


def extended(rates: Params, steps: int) -> Params:
    """Rates for another number of steps: beyond those there are, the last one goes on."""
    return jax.tree.map(lambda r: r[jnp.minimum(jnp.arange(steps), len(r) - 1)], rates)


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"the inner loop takes a step at least, got {steps}")
