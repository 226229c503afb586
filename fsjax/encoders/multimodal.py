"""Encoders times fusion: a network over rows of several modalities."""

from collections.abc import Callable, Mapping
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.sharding import Mesh

from fsjax.encoders.spread import each_block
from fsjax.encoders.tabular import Encoded
from fsjax.types import Array, Inputs, Key, Network, Params, Pool, Stats, Tokens


class Multimodal(nn.Module):
    """One encoder for each modality, and a fusion of their tokens.

    The fusion is any Flax module called with tokens {modality: Tokens} and present
    {modality: [B]}; it gives features [B, D].
    """

    encoders: Mapping[str, nn.Module]
    fusion: nn.Module

    def __call__(self, inputs: Inputs, weight: Array, *, train: bool = False) -> Array:
        """inputs [B, ...], weight [B] -> features [B, D]."""
        tokens = self.encode(inputs, weight, train=train)
        return self.fusion(tokens, {name: inputs.present[name] for name in tokens})

    def encode(self, inputs: Inputs, weight: Array, *, train: bool = False) -> dict[str, Tokens]:
        """inputs [B, ...], weight [B] -> tokens of each modality; those absent are all padding."""
        given = inputs.values.keys() & inputs.present.keys()
        if missing := sorted(self.encoders.keys() - given):
            raise ValueError(
                f"the network has an encoder for {', '.join(missing)}, which the inputs lack; "
                f"they have {', '.join(sorted(given)) or 'none'}, each with values and present"
            )
        return {
            name: self._encode(name, inputs.values[name], inputs.present[name], weight, train)
            for name in self.encoders
        }

    def _encode(self, name: str, x, present: Array, weight: Array, train: bool) -> Tokens:
        # Even a NaN in a row without weight must not reach the encoder: 0 * NaN is NaN.
        x = jax.tree.map(lambda leaf: _where_rows(weight * present, leaf), x)
        tokens = self.encoders[name](x, weight * present, train=train)
        return tokens._replace(mask=tokens.mask * present[:, None])


def _where_rows(weight: Array, x: Array) -> Array:
    rows = weight.reshape(-1, *(1,) * (x.ndim - 1)) > 0
    return jnp.where(rows, x, jnp.zeros_like(x))


def as_network(module: nn.Module, *, method: str = "__call__") -> Network:
    """A Flax module called with (inputs, weight, train) as a pair of pure functions.

    Args:
      module: its variables are "params" alone; statistics pass through the collection "stats".
      method: what is called; "encode" gives the tokens {m: [B, L_m, D_m]} of a `Multimodal`.

    Returns:
      The network; statistics that are given are used in place of the batch's.
    """

    def init(key: Key, inputs: Inputs) -> Params:
        weight = jnp.ones(_rows(inputs))
        return module.init(key, inputs, weight, method=method).get("params", {})

    def apply(
        params: Params,
        inputs: Inputs,
        *,
        weight: Array | None = None,
        stats: Stats = None,
        key: Key | None = None,
        train: bool = False,
    ) -> tuple[Array, Stats]:
        weight = jnp.ones(_rows(inputs)) if weight is None else weight
        if jnp.shape(weight) != (_rows(inputs),):
            raise ValueError(
                f"{_rows(inputs)} rows have weights of shape {list(jnp.shape(weight))}: they want "
                "one each, the sums of labels [rows, ways]; jax.nn.one_hot makes such of numbers"
            )
        variables = {"params": params} | ({"stats": stats} if stats else {})
        rngs = None if key is None else {"dropout": key}
        features, out = module.apply(
            variables, inputs, weight, train=train, rngs=rngs, mutable=["stats"], method=method
        )
        return features, out.get("stats", {})

    return Network(init, apply)


def _rows(inputs: Inputs) -> int:
    return len(next(iter(inputs.present.values())))


def multimodal(encoders: Mapping[str, nn.Module], fusion: nn.Module) -> Network:
    """The network of encoders and a fusion.

    Args:
      encoders: modality -> encoder; modalities of the inputs that have none are ignored.
      fusion: tokens and presence -> features [B, D].

    Returns:
      The network; its parameters are {"encoders_MODALITY": ..., "fusion": ...}.
    """
    return as_network(Multimodal(encoders, fusion))


def encoded(module: Multimodal) -> Multimodal:
    """The same network over tokens that `encode_pool` has made, with the same parameters."""
    return Multimodal({name: Encoded() for name in module.encoders}, module.fusion)


def encode_pool(
    module: Multimodal,
    params: Params,
    pool: Pool,
    *,
    batch: int = 256,
    read: Callable[[Inputs], Inputs] = lambda rows: rows,
    mesh: Mesh | None = None,
) -> Pool:
    """Runs the encoders once over all rows of a pool.

    Valid for encoders whose output for a row does not depend on other rows: those with
    `CalibratedNorm`, `GroupNorm` or no norm, not `EpisodeNorm` or `SupportNorm`.

    Args:
      module: the network.
      params: its parameters.
      pool: the rows of one split.
      batch: rows encoded at once by each device, to bound the memory.
      read: what is done to these before, as to read those that are stored elsewhere.
      mesh: of one axis, over whose devices the rows are divided.

    Returns:
      The pool with Tokens for values, for the network `encoded(module)`. Of modalities that have
      no encoder it is still told whether they are present.
    """

    def encode_source(source):
        values, present = source.inputs
        inputs = Inputs({m: x for m, x in values.items() if m in module.encoders}, present)
        if not inputs.values:
            return source._replace(inputs=inputs)
        # A frozen dictionary has a hash, which a static argument needs.
        part = Multimodal(FrozenDict({m: module.encoders[m] for m in inputs.values}), module.fusion)
        return source._replace(inputs=_encode_rows(part, params, inputs, batch, read, mesh))

    return pool._replace(sources={name: encode_source(s) for name, s in pool.sources.items()})


@partial(jax.jit, static_argnames=("module", "batch", "read", "mesh"))
def _encode_rows(
    module: Multimodal,
    params: Params,
    inputs: Inputs,
    batch: int,
    read: Callable[[Inputs], Inputs],
    mesh: Mesh | None,
) -> Inputs:
    rows = _rows(inputs)

    def encode(block: Array, params: Params, inputs: Inputs) -> dict[str, Tokens]:
        # Clipped so that the last block repeats the last row: one shape, compiled once.
        index = jnp.minimum(block * batch + jnp.arange(batch), rows - 1)
        some = read(jax.tree.map(lambda x: x[index], inputs))
        return module.apply({"params": params}, some, jnp.ones(batch), method="encode")

    tokens = each_block(encode, -(-rows // batch), mesh, params, inputs)
    whole = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:rows], tokens)
    return Inputs(whole, inputs.present)


def holds_statistics(params: Params) -> bool:
    """Whether a network has parameters that `calibrate` writes."""
    return any(path[-1] == "mean" for path in flatten_dict(params))


def calibrate(
    network: Network, params: Params, batches: Inputs, *, mesh: Mesh | None = None
) -> Params:
    """Writes the statistics of training data into the parameters that are to hold them.

    These are the mean and variance of every `CalibratedNorm`, and the mean of a `Centred` fusion.

    Args:
      network: the network; a layer's statistics are those of a training pass.
      params: its parameters.
      batches: [T, B, ...] rows of the training classes.
      mesh: of one axis, over whose devices the batches are divided.

    Returns:
      The parameters, with the means and variances over all batches in their places, but for those
      of layers that see none of the rows.
    """

    def moments_of(i: Array, params: Params, batches: Inputs) -> Stats:
        return network.apply(params, jax.tree.map(lambda x: x[i], batches), train=True)[1]

    number = len(next(iter(batches.present.values())))
    moments = each_block(moments_of, number, mesh, params, jax.tree.map(jnp.asarray, batches))
    flat = flatten_dict(moments)

    def rows(path: tuple[str, ...]) -> Array:
        return flat.get((*path[:-1], "rows"), jnp.ones(number))

    def mean(path: tuple[str, ...], x: Array) -> Array:
        """Over all batches, each weighted by those of its rows that x is of."""
        share = rows(path) / jnp.maximum(rows(path).sum(), jnp.finfo(x.dtype).tiny)
        return (share[:, None] * x).sum(0)

    means = {path: mean(path, x) for path, x in flat.items() if path[-1] == "mean"}
    # The variance over all batches: mean of the variances plus variance of the means.
    variances = {}
    for path in (path for path in flat if path[-1] == "var"):
        beside = (*path[:-1], "mean")
        apart = jnp.square(flat[beside] - means[beside])
        variances[path] = mean(path, flat[path]) + mean(path, apart)
    before = flatten_dict(params, keep_empty_nodes=True)
    written = {
        path: jnp.where(rows(path).any(), x, before[path])
        for path, x in (means | variances).items()
    }
    return unflatten_dict(before | written)
