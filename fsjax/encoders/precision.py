"""Networks computed in fewer bits than their parameters have."""

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from fsjax.encoders.layers import as_float
from fsjax.types import Array, Inputs, Network, Params, Stats

STATISTICS = ("mean", "var")  # parameters that norms hold: differences from them need all digits


def in_bfloat16(network: Network) -> Network:
    """The network computed in bfloat16 (Micikevicius et al. 2018,
    https://arxiv.org/abs/1710.03740), which needs no scaled loss, as it has float32's exponents.

    Parameters, their gradients, the statistics of norms, table rows and features stay float32.

    Args:
      network: rows -> features.
    """

    def apply(params: Params, inputs: Inputs, **options) -> tuple[Array, Stats]:
        values = jax.tree.map(_lowered_rows, inputs.values)
        found = network.apply(_lowered(params), inputs._replace(values=values), **options)
        return jax.tree.map(_raised, found)

    return network._replace(apply=apply)


def _lowered(params: Params) -> Params:
    flat = flatten_dict(params, keep_empty_nodes=True)
    lower = {path: x for path, x in flat.items() if path[-1] not in STATISTICS}
    return unflatten_dict(flat | jax.tree.map(_lower, lower))


def _lower(x: Array) -> Array:
    return x.astype(jnp.bfloat16) if jnp.issubdtype(x.dtype, jnp.floating) else x


def _lowered_rows(x: Array) -> Array:
    # Of table rows [B, K] the numbers may differ by less than bfloat16 tells apart.
    return _lower(as_float(x)) if x.ndim > 2 else x


def _raised(x: Array) -> Array:
    return x.astype(jnp.float32) if x.dtype == jnp.bfloat16 else x
