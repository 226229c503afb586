"""Networks that others build on."""

import jax
import jax.numpy as jnp

from fsjax.encoders.layers import as_float
from fsjax.types import Array, Inputs, Key, Network, Params, Stats


def begun(network: Network, params: Params) -> Network:
    """The network as it is, with parameters that have been learned and go on learning.

    Args:
      network: rows -> features.
      params: with which the new network begins.
    """
    return network._replace(init=lambda key, inputs: params)


def frozen(network: Network, params: Params) -> Network:
    """The network as it is, with parameters that have been learned and learn no more.

    Args:
      network: rows -> features.
      params: with which the new network begins; no gradient reaches them.
    """

    def apply(params: Params, inputs: Inputs, **options) -> tuple[Array, Stats]:
        return network.apply(jax.lax.stop_gradient(params), inputs, **options)

    return begun(network, params)._replace(apply=apply)


def passed_on(modality: str) -> Network:
    """The network without parameters whose features are the values of a modality [B, ...]."""

    def apply(params: Params, inputs: Inputs, **options) -> tuple[Array, Stats]:
        return inputs.values[modality], {}

    return Network(_nothing, apply)


def scaled(modality: str) -> Network:
    """The network without parameters whose features are the values of a modality [B, ...] as
    encoders see them: those of uint8 scaled to [-1, 1], and zero where it is absent.
    """

    def apply(params: Params, inputs: Inputs, **options) -> tuple[Array, Stats]:
        x = as_float(inputs.values[modality])
        present = inputs.present[modality].reshape(-1, *(1,) * (x.ndim - 1))
        return jnp.where(present > 0, x, 0.0), {}

    return Network(_nothing, apply)


def _nothing(key: Key, inputs: Inputs) -> Params:
    return {}
