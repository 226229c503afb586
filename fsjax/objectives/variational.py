"""Variational autoencoders, as a choice beside adversarial training."""

import jax
import jax.numpy as jnp

from fsjax.objectives.adversarial import Draw
from fsjax.objectives.losses import weighted_mean
from fsjax.types import Array, Autoencoder, Episode, Examples, Key, Metrics, Objective, Params, Step


def variational(autoencoder: Autoencoder, examples: Draw, *, beta: float = 1.0) -> Objective:
    """The negative evidence bound of a conditional variational autoencoder (Kingma & Welling 2014,
    https://arxiv.org/abs/1312.6114; Sohn et al. 2015,
    https://papers.nips.cc/paper/5775-learning-structured-output-representation-using-deep-conditional-generative-models).

    Args:
      autoencoder: its decoder is the generator.
      examples: params, episode, key -> real rows and their conditions, as they are.
      beta: weight of the divergence of codes from a standard normal.

    Returns:
      An objective over an Episode without a task axis and parameters that hold "generator";
      gradients of all others are zero. Its metrics are "loss", "error", half of the squared error
      of a row, and "divergence", that of its code, in nats.
    """

    def bound(params: Params, real: Examples, key: Key) -> tuple[Array, Metrics]:
        mean, log_variance = autoencoder.encode(params, real.rows, real.condition)
        noise = jax.random.normal(key, mean.shape)
        code = mean + jnp.exp(0.5 * log_variance) * noise
        rows = autoencoder.decode(params, code, real.condition)
        errors = 0.5 * jnp.square(rows - real.rows).reshape(len(rows), -1).sum(1)
        divergences = kl_to_standard_normal(mean, log_variance)
        error, divergence = (weighted_mean(x, real.weight) for x in (errors, divergences))
        loss = error + beta * divergence
        return loss, {"loss": loss, "error": error, "divergence": divergence}

    def objective(params: Params, episode: Episode, key: Key, step: Step) -> tuple[Params, Metrics]:
        key_examples, key_code = jax.random.split(key)
        real = jax.lax.stop_gradient(examples(params, episode, key_examples))
        gradients, metrics = jax.grad(bound, has_aux=True)(params["generator"], real, key_code)
        return jax.tree.map(jnp.zeros_like, params) | {"generator": gradients}, metrics

    return objective


def kl_to_standard_normal(mean: Array, log_variance: Array) -> Array:
    """KL(N(mean, variance) || N(0, 1)) of independent entries: [B, Z] -> [B], in nats."""
    return 0.5 * (jnp.square(mean) + jnp.exp(log_variance) - 1.0 - log_variance).sum(1)
