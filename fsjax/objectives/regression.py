"""Generators trained to give the rows themselves, as what is known of them allows."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from fsjax.objectives.losses import weighted_mean
from fsjax.types import Array, Episode, Examples, Generator, Key, Metrics, Objective, Params, Step


def regression(
    generator: Generator, examples: Callable[[Params, Episode, Key], Mapping[str, Examples]]
) -> Objective:
    """The squared error of what is generated, in units of the variance of the rows.

    Its least is the mean of rows of which the same is known: where one value is to stand for one
    that is absent, nothing is nearer to it on average. A critic would want a draw from their
    distribution, which is twice as far from it.

    Args:
      generator: conditions -> rows; one that is told no noise, since it would learn to ignore it.
      examples: params, episode, key -> by name, real rows and what is known of them.

    Returns:
      An objective over an Episode without a task axis and parameters that hold "generator", a
      dictionary by the same names; gradients of all others are zero. Its metric "loss" is the mean
      over names of the share of the rows' variance that is not explained, 1 for their mean.
    """

    def unexplained(params: Params, real: Examples, key: Key) -> Array:
        made = generator.generate(params, real.condition, key)
        share = real.weight / jnp.maximum(real.weight.sum(), 1e-12)
        mean = jnp.tensordot(share, real.rows, 1)
        error, variance = (
            weighted_mean(_squares(real.rows - centre), real.weight) for centre in (made, mean)
        )
        return error / jnp.where(variance > 0, variance, 1.0)

    def objective(params: Params, episode: Episode, key: Key, step: Step) -> tuple[Params, Metrics]:
        key_examples, key_noise = jax.random.split(key)
        real = jax.lax.stop_gradient(examples(params, episode, key_examples))

        def loss(of_names: Params) -> Array:
            each = [unexplained(of_names[name], real[name], key_noise) for name in sorted(real)]
            return jnp.stack(each).mean()

        value, gradients = jax.value_and_grad(loss)(params["generator"])
        zeros = jax.tree.map(jnp.zeros_like, params)
        return zeros | {"generator": gradients}, {"loss": value}

    return objective


def _squares(x: Array) -> Array:
    return jnp.square(x).reshape(len(x), -1).sum(1)
