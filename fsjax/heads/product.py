"""Matrix products that keep the precision of their factors."""

from functools import partial

import jax.numpy as jnp

# Left to itself a TPU rounds factors in float32 to 8 bits, and a GPU to 11. Networks learn to live
# with that; means of classes, similarities and systems that are solved lose what tells rows apart.
product = partial(jnp.matmul, precision="highest")
