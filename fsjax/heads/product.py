"""Matrix products that keep the precision of their factors."""

import jax.numpy as jnp

from fsjax.types import Array


def wide(x: Array) -> Array:
    """In float32 at least: sums of squares of quite ordinary features overflow float16."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def product(a: Array, b: Array) -> Array:
    """The matrix product, in float32 at least.

    Left to itself a TPU rounds factors in float32 to 8 bits, and a GPU to 11. Networks learn to
    live with that; means of classes, similarities and systems that are solved lose what tells rows
    apart.
    """
    return jnp.matmul(wide(a), wide(b), precision="highest")
