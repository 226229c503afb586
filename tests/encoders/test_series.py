"""Convolutions over time against Flax's."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.encoders.norms import CalibratedNorm
from fsjax.encoders.series import ConvSeries, max_of_pairs, windows

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
X = jnp.array(RNG.normal(size=(2, 9, 3)), jnp.float32)


@pytest.mark.parametrize("width", [1, 4, 5])
def test_a_product_of_windows_is_the_convolution_of_flax(width):
    convolution = nn.Conv(4, (width,), use_bias=False)
    params = convolution.init(KEY, X)["params"]

    def ours(x, kernel):
        return windows(x, width) @ kernel.reshape(-1, 4)

    def theirs(x, kernel):
        return convolution.apply({"params": {"kernel": kernel}}, x)

    found, expected = (
        jax.value_and_grad(lambda *a, f=f: jnp.sin(f(*a)).sum(), (0, 1))(X, params["kernel"])
        for f in (ours, theirs)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-5), found, expected)


def test_the_larger_of_two_steps_is_kept_and_an_odd_last_one_dropped():
    np.testing.assert_array_equal(max_of_pairs(X), nn.max_pool(X, (2,), (2,)))


def test_a_series_that_is_too_short_is_refused():
    module = ConvSeries((4, 4))
    with pytest.raises(ValueError, match=r"1 steps are too few.*longer series"):
        module.init(KEY, jnp.zeros((2, 3, 1)), jnp.ones(2))


def test_one_number_a_step_is_a_series_of_one_channel():
    module = ConvSeries((4, 4), norm=CalibratedNorm)
    params = module.init(KEY, X[..., 0], jnp.ones(2))
    flat, apart = (module.apply(params, x, jnp.ones(2)).values for x in (X[..., 0], X[..., :1]))
    np.testing.assert_array_equal(flat, apart)
