"""JAX's own convolutions, and what their tests share."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


@jax.jit
def conv(x, w):
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=layout)


@jax.jit
def corr(x, dy):
    return jax.vjp(partial(conv, x), jnp.zeros((3, 3, x.shape[-1], dy.shape[-1]), x.dtype))[1](dy)[
        0
    ]


def normal(seed, *shape, dtype=None):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape) / 4, dtype)


def operands(name, lead=((), ()), images=2, size=(3, 4), inputs=2, outputs=3):
    second = (3, 3, inputs, outputs) if name == "conv" else (images, *size, outputs)
    return normal(0, *lead[0], images, *size, inputs), normal(1, *lead[1], *second)


def cubes(y):
    return jnp.sum(y * y * y)


def agree(ours, theirs, **tolerance):
    jax.tree.map(
        partial(np.testing.assert_allclose, **{"rtol": 1e-9, "atol": 1e-9} | tolerance),
        ours,
        theirs,
    )
