"""The inner loop of gradient-based methods, and the rates of its steps.

Rates are data: what distinguishes MAML, Meta-SGD and MAML++ are the shapes of what is learned.
"""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.lax import stop_gradient

from fsjax.types import Array, Params

STEEPEST = optax.identity()


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
    direction: optax.GradientTransformation = STEEPEST,
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
      direction: what of the gradients a rate multiplies, such as `optax.scale_by_adam()`; each
        adaptation starts it anew.

    Returns:
      The parameters after the last step, and after each.
    """
    steps = len(jax.tree.leaves(rates)[0])

    def step(
        carry: tuple[Params, optax.OptState], at: tuple[Array, Params]
    ) -> tuple[tuple[Params, optax.OptState], Params]:
        (params, state), (i, rate) = carry, at
        gradients = jax.grad(loss_fn)(params, i)
        if first_order:
            gradients = stop_gradient(gradients)
        ways, state = direction.update(gradients, state, params)
        params = jax.tree.map(lambda p, r, w: p - r * w, params, rate, ways)
        return (params, state), params

    step = jax.checkpoint(step) if rematerialise else step
    start = params, direction.init(params)
    (end, _), path = jax.lax.scan(step, start, (jnp.arange(steps), rates))
    return Adapted(end, path)


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


def per_depth(
    rate: float,
    *,
    steps: int,
    decay: float,
    depths: Callable[[Collection[str]], Mapping[str, int]],
) -> Rates:
    """A rate that falls from each layer to the one below it, the same in all steps and not learned:
    discriminative fine-tuning (Howard & Ruder 2018, https://arxiv.org/abs/1801.06146).

    Args:
      rate: of the last layer.
      steps: of the inner loop.
      decay: a layer's rate over that of the layer above it.
      depths: paths of what adapts -> how many layers lie between each and the logits.

    Returns:
      Rates for a dictionary by path, as `fsjax.learners.maml` adapts it.

    Raises:
      ValueError: if there is no step, or the decay is not between 0 and 1.
    """
    _check_steps(steps)
    if not 0 < decay <= 1:
        raise ValueError(f"a rate falls by a factor above 0 and up to 1, got {decay}")

    def of(learned: Params, params: Mapping[str, Params]) -> Params:
        below = depths(params)
        return {
            path: jax.tree.map(
                lambda p, d=below[path]: jnp.full(steps, rate * decay**d, p.dtype), x
            )
            for path, x in params.items()
        }

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
