"""Descriptions of classes among the features of their rows."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from fsjax.types import Array, Inputs, Key, Network, Params


def of_kind(side: Inputs, kind: str) -> Inputs:
    """The descriptions of one kind, zeros where they are absent, whatever stands there.

    Raises:
      ValueError: if classes have none of that kind.
    """
    if kind not in side.values:
        there = ", ".join(side.values) or "none"
        raise ValueError(f"classes have no description {kind!r}; there is {there}")
    present = side.present[kind]

    def kept(x: Array) -> Array:
        return jnp.where(present.reshape(-1, *(1,) * (x.ndim - 1)) > 0, x, jnp.zeros_like(x))

    return Inputs({kind: jax.tree.map(kept, side.values[kind])}, {kind: present})


def init_places(key: Key, side: Mapping[str, Network], described: Inputs, features: int) -> Params:
    """What `places` learns: by kind the network's parameters and, where they have another number
    of features than the rows, a linear map to these.

    Args:
      key: a random key.
      side: kind of description -> network of it, descriptions [W, ...] -> [W, E].
      described: [W, ...].
      features: D, of the rows.

    Raises:
      ValueError: if there is no kind of description, or `described` lacks one.
    """
    if not side:
        raise ValueError("the learner wants a kind of class descriptions at least, and got none")
    learned = {}
    for kind, key_kind in zip(sorted(side), jax.random.split(key, len(side)), strict=True):
        own = side[kind].init(key_kind, of_kind(described, kind))
        e, _ = side[kind].apply(own, of_kind(described, kind))
        learned[kind] = {"network": own}
        if e.shape[-1] != features:
            kernel = jax.random.normal(jax.random.fold_in(key_kind, 1), (e.shape[-1], features))
            # Small: from places that are far apart by chance, training classes are told apart by
            # these alone, and new ones are not.
            kernel = 0.1 * kernel / jnp.sqrt(e.shape[-1])
            # All descriptions lie apart from all rows: the bias leads from the ones to the others.
            learned[kind]["place"] = {"kernel": kernel, "bias": jnp.zeros(features)}
    return learned


def places(learned: Params, side: Mapping[str, Network], described: Inputs) -> tuple[Array, Array]:
    """Where descriptions lie among the features of rows.

    Args:
      learned: of `init_places`.
      side: as there.
      described: [W, ...].

    Returns:
      [kinds, W, D], by name of kind, zeros where a description is missing; and [kinds, W], 1 where
      it is there.
    """
    found, there = [], []
    for kind in sorted(side):
        some = of_kind(described, kind)
        e, _ = side[kind].apply(learned[kind]["network"], some)
        if place := learned[kind].get("place"):
            e = e @ place["kernel"] + place["bias"]
        present = some.present[kind] > 0
        found.append(jnp.where(present[:, None], e, 0.0))
        there.append(present.astype(e.dtype))
    return jnp.stack(found), jnp.stack(there)
