"""Encoders of table rows: numbers of all magnitudes."""

import jax
import numpy as np
import pytest

from fsjax.encoders.multimodal import multimodal
from fsjax.encoders.tabular import MLP, Standardised
from fsjax.fusion.pooled import Plain
from fsjax.types import Inputs

ROWS, KEY = 12, jax.random.key(0)
X = np.random.default_rng(0).normal(3.0, 2.0, size=(ROWS, 4)).astype(np.float32)


@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e5])
def test_standardised_numbers_begin_at_the_scale_at_which_they_are_trained(scale):
    network = multimodal({"numbers": Standardised(MLP((5,), 3))}, Plain())
    inputs = Inputs({"numbers": X * np.float32(scale)}, {"numbers": np.ones(ROWS, np.float32)})
    params = network.init(KEY, inputs)
    before, _ = network.apply(params, inputs)
    trained, _ = network.apply(params, inputs, train=True)
    np.testing.assert_allclose(before, trained, rtol=1e-4, atol=1e-4)
    assert np.std(before) > 0.1


def test_an_mlp_sees_pictures_as_rows_of_their_values():
    pictures = X.reshape(ROWS, 2, 1, 2)
    params = MLP((5,), 3).init(KEY, X, np.ones(ROWS))
    found, expected = (MLP((5,), 3).apply(params, x, np.ones(ROWS)) for x in (pictures, X))
    jax.tree.map(np.testing.assert_array_equal, found, expected)
