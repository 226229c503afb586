"""The evidence bound, against formulas and numerical integration."""

import jax
import jax.numpy as jnp
import numpy as np

from fsjax.objectives.variational import kl_to_standard_normal, variational
from fsjax.types import Autoencoder, Condition, Examples

RNG = np.random.default_rng(0)
STEP = jnp.zeros((), jnp.int32)


def test_the_divergence_is_that_of_an_integral():
    mean, log_variance = RNG.normal(size=(2, 4, 1))
    x, step = np.linspace(-20, 20, 200_001, retstep=True)
    density = np.exp(-((x - mean) ** 2) / (2 * np.exp(log_variance)))
    density /= np.sqrt(2 * np.pi * np.exp(log_variance))
    log_ratio = np.log(np.maximum(density, 1e-300)) + x**2 / 2 + np.log(2 * np.pi) / 2
    expected = (density * log_ratio).sum(1) * step
    np.testing.assert_allclose(kl_to_standard_normal(mean, log_variance), expected, rtol=1e-4)


def linear(variance: float) -> Autoencoder:
    """Codes are the rows times a number, rows the codes times another, and the prototype."""

    def encode(params, rows, condition):
        mean = params["encoder"] * (rows - condition.prototype)
        return mean, jnp.full_like(mean, np.log(variance))

    def decode(params, codes, condition):
        return params["decoder"] * codes + condition.prototype

    return Autoencoder(None, None, encode, decode)


def examples(params, episode, key):
    prototype = jnp.array(RNG.normal(size=(3, 2)), jnp.float32)
    rows = prototype + jnp.array([[1.0, 2.0], [3.0, -1.0], [7.0, 9.0]])
    return Examples(rows, Condition(prototype, jnp.zeros((3, 0))), jnp.array([1.0, 3.0, 0.0]))


def test_the_bound_is_error_and_divergence_weighted_and_other_parameters_stay():
    params = {"generator": {"encoder": jnp.array(0.5), "decoder": jnp.array(2.0)}, "rest": 1.0}
    # Codes of hardly any variance: what is decoded is the row itself.
    objective = variational(linear(1e-10), examples, beta=0.5)
    gradients, metrics = jax.jit(objective)(params, None, jax.random.key(0), STEP)
    np.testing.assert_allclose(metrics["error"], 0.0, atol=1e-6)
    squares = np.array([0.25 * 5, 0.25 * 10])  # of the means of the codes
    divergence = 0.5 * (squares - 2 - 2 * np.log(1e-10))
    expected = np.average(divergence, weights=[1, 3])
    np.testing.assert_allclose(metrics["divergence"], expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss"], 0.5 * expected, rtol=1e-5)
    assert gradients["rest"] == 0 and np.isfinite(gradients["generator"]["encoder"])
