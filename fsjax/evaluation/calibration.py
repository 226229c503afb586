"""Temperatures for logits, chosen on validation."""

import jax
import jax.numpy as jnp
import numpy as np

from fsjax.evaluation.figures import Figure, negative_log_likelihood
from fsjax.types import Array

TEMPERATURES = tuple(2.0 ** (k / 4) for k in range(-24, 25))  # 1/64 to 64


def likelihood_by_temperature(logits: Array, targets: Array) -> Array:
    """Negative log-likelihood at each of `TEMPERATURES`: logits, targets [Q, W] -> [49] in nats."""
    scaled = logits / jnp.array(TEMPERATURES)[:, None, None]
    return jax.vmap(lambda logits: negative_log_likelihood(logits, targets))(scaled)


def choose_temperature(likelihoods: np.ndarray) -> float:
    """The temperature under which predictions are likeliest (Guo et al. 2017,
    https://arxiv.org/abs/1706.04599).

    Args:
      likelihoods: [E, 49] of `likelihood_by_temperature`, over validation episodes.

    Returns:
      That of `TEMPERATURES` with the least mean; logits are to be divided by it. Episodes that are
      not finite do not count; if none is, it is 1.
    """
    table = np.asarray(likelihoods, np.float64)
    finite = table[np.isfinite(table).all(-1)]
    return TEMPERATURES[int(finite.mean(0).argmin())] if len(finite) else 1.0


def at_temperature(figure: Figure, temperature: float) -> Figure:
    """A figure of logits divided by a temperature, named "calibrated_" and the figure's name."""

    def calibrated(logits: Array, targets: Array) -> Array:
        return figure(logits / temperature, targets)

    calibrated.__name__ = f"calibrated_{figure.__name__}"
    return calibrated
