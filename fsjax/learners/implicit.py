"""An inner loop whose outer gradient looks at where it ends and not at how it came there."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg

from fsjax.learners.gradient import Adapted, Loop, inner_loop
from fsjax.types import Array, Params


def implicit(*, strength: float, iterations: int = 5) -> Loop:
    """Gradient descent on the loss and a pull towards the start, differentiated as if it had
    converged: iMAML (Rajeswaran et al. 2019, https://arxiv.org/abs/1909.04630).

    With the pull s |p - start|^2 / 2 the end p satisfies grad L(p) + s (p - start) = 0, so that a
    cotangent v of it gives u = (H + s I)^-1 v by conjugate gradients, H the Hessian of L at p, and
    that of the start is s u, that of all else in L the derivative of -u . grad L(p). Memory does
    not grow with the number of steps.

    Args:
      strength: s, of the pull.
      iterations: of conjugate gradients.

    Returns:
      A loop to be given for `inner_loop`. The loss is that of step 0 at all steps, no gradient
      reaches the rates, and none comes from the path.

    Raises:
      ValueError: if the strength is not positive or there is no iteration.
    """
    if strength <= 0 or iterations < 1:
        raise ValueError(
            f"strength and iterations must be positive, got {strength} and {iterations}"
        )

    def loop(loss_fn, params, rates):
        loss, others = _closed(loss_fn, params)
        return _solve(loss, strength, iterations, params, rates, others)

    return loop


def _closed(
    loss_fn: Callable[[Params, Array], Array], params: Params
) -> tuple[Callable[..., Array], list[Array]]:
    """The loss as a function (params, *others) of all that it is closed over, and those.

    `jax.closure_convert` leaves out what is only mapped over, which a custom gradient may not be
    closed over.
    """
    traced = jax.make_jaxpr(loss_fn)(params, jnp.zeros((), jnp.int32))

    def loss(params: Params, *others: Array) -> Array:
        leaves = jax.tree.leaves(params)
        return jax.core.eval_jaxpr(traced.jaxpr, others, *leaves, jnp.zeros((), jnp.int32))[0]

    return loss, list(traced.consts)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _solve(loss, strength, iterations, start: Params, rates: Params, others) -> Adapted:
    def pulled(params: Params, i: Array) -> Array:
        apart = jax.tree.map(lambda p, q: jnp.square(p - q).sum(), params, start)
        return loss(params, *others) + strength / 2 * sum(jax.tree.leaves(apart))

    return inner_loop(pulled, start, rates)


# As `cg` multiplies: its steps are those of a matrix in full precision.
_vdot = partial(jnp.vdot, precision="highest")


def _forward(loss, strength, iterations, start, rates, others):
    adapted = _solve(loss, strength, iterations, start, rates, others)
    return adapted, (adapted.params, rates, others)


def _backward(loss, strength, iterations, saved, cotangent: Adapted):
    end, rates, others = saved

    def along(way: Params, params: Params, floats: list[Array]) -> Array:
        """The slope of the loss in a direction."""
        slope = jax.grad(loss)(params, *fill(floats))
        return sum(jax.tree.leaves(jax.tree.map(_vdot, slope, way)))

    def curvature(way: Params) -> Params:
        # In reverse mode twice: the convolution has no forward mode.
        bent = jax.grad(along, 1)(way, end, floats)
        return jax.tree.map(lambda h, w: h + strength * w, bent, way)

    floats, fill = _floats(others)
    u, _ = cg(curvature, cotangent.params, maxiter=iterations, tol=1e-7)
    of_floats = jax.grad(along, 2)(jax.tree.map(jnp.negative, u), end, floats)
    of_start = jax.tree.map(lambda u: strength * u, u)
    return of_start, jax.tree.map(jnp.zeros_like, rates), fill(of_floats, [None] * len(others))


def _floats(leaves: list[Array]) -> tuple[list[Array], Callable[..., list]]:
    """Those that can be differentiated, and what puts others of them among the rest."""
    places = [i for i, x in enumerate(leaves) if jnp.issubdtype(x.dtype, jnp.floating)]

    def fill(floats: list[Array], rest: list = leaves) -> list:
        given = dict(zip(places, floats, strict=True))
        return [given.get(i, x) for i, x in enumerate(rest)]

    return [leaves[i] for i in places], fill


_solve.defvjp(_forward, _backward)
