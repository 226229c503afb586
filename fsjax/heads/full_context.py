"""Matching networks whose embeddings see the whole support set."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from fsjax.heads.distances import cosine
from fsjax.heads.matching import attention_logits
from fsjax.heads.product import wide
from fsjax.types import Array, Head


class _Support(nn.Module):
    """g: a bidirectional LSTM over the support rows, in their order, added to them."""

    @nn.compact
    def __call__(self, z: Array, given: Array) -> Array:
        """z [S, D], given [S] -> [S, D]."""
        z = wide(z)
        forward = _run(nn.OptimizedLSTMCell(z.shape[-1], name="forward"), z, given)
        backward = _run(nn.OptimizedLSTMCell(z.shape[-1], name="backward"), z[::-1], given[::-1])
        return z + forward + backward[::-1]


class _Query(nn.Module):
    """f: an LSTM that reads the support set by attention before each of its steps."""

    steps: int

    @nn.compact
    def __call__(self, z: Array, support: Array, given: Array) -> Array:
        """z [Q, D], support [S, D], given [S] -> [Q, D]."""
        z = wide(z)

        def step(cell: nn.Module, carry: tuple[Array, Array], _: None) -> tuple[Any, None]:
            c, h = carry
            logits = jnp.where(given, h @ support.T, jnp.finfo(z.dtype).min)
            read = jax.nn.softmax(logits) @ support
            (c, out), _ = cell((c, h), jnp.concatenate([z, read], axis=-1))
            return (c, out + z), None

        cell = nn.OptimizedLSTMCell(z.shape[-1], name="cell")
        return _scan(step, length=self.steps)(cell, (jnp.zeros_like(z), z), None)[0][1]


def full_context(*, steps: int = 3, scale: float = 10.0) -> Head:
    """Matching networks with full-context embeddings (Vinyals et al. 2016, appendix A.1,
    https://arxiv.org/abs/1606.04080).

    Args:
      steps: of the LSTM that embeds a query.
      scale: as in `matching`.

    Returns:
      The head; its task is the support set, embedded in its own context, and its labels. The
      order of the support rows matters.

    Raises:
      ValueError: if steps or scale are not positive.
    """
    if steps < 1 or scale <= 0:
        raise ValueError(f"steps and scale must be positive, got {steps} and {scale}")
    of_support, of_query = _Support(), _Query(steps)

    def init(key, z, y):
        keys = jax.random.split(key)
        given = y.any(-1)
        return {
            "support": of_support.init(keys[0], z, given)["params"],
            "query": of_query.init(keys[1], z, z, given)["params"],
            "log_scale": jnp.log(jnp.asarray(scale, wide(z).dtype)),
        }

    def fit(params, z, y):
        return of_support.apply({"params": params["support"]}, z, y.any(-1)), y

    def score(params, task, z):
        support, y = task
        z = of_query.apply({"params": params["query"]}, z, support, y.any(-1))
        return attention_logits((1.0 - cosine(z, support)) * jnp.exp(params["log_scale"]), y)

    return Head(init, fit, score)


def _run(cell: nn.Module, z: Array, given: Array) -> Array:
    """The outputs [S, D] of a cell over rows, its state unmoved by rows that are padding."""

    def step(cell: nn.Module, carry: Any, row: tuple[Array, Array]) -> tuple[Any, Array]:
        z, given = row
        moved, out = cell(carry, z)
        return jax.tree.map(lambda new, old: jnp.where(given, new, old), moved, carry), out

    zeros = jnp.zeros_like(z, shape=z.shape[1:])
    return _scan(step)(cell, (zeros, zeros), (z, given))[1]


_scan = partial(nn.scan, variable_broadcast="params", split_rngs={"params": False})
