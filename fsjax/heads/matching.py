"""Matching networks."""

import chex
import jax
import jax.numpy as jnp

from fsjax.heads.distances import cosine
from fsjax.heads.product import wide
from fsjax.types import Array, Head


def matching(*, scale: float = 10.0) -> Head:
    """Classifies by attention over the support rows (Vinyals et al. 2016,
    https://arxiv.org/abs/1606.04080).

    Args:
      scale: initial value of the learned factor of the cosine similarities. The paper has none;
        with a fixed factor of 1 no attention exceeds e^2 times another.

    Returns:
      The head; a logit is the logarithm of the attention that the rows of a class get together,
      so the softmax of the logits is the paper's prediction. The task is the support set.

    Raises:
      ValueError: if the scale is not positive.
    """
    if scale <= 0:
        raise ValueError(f"the scale must be positive, got {scale}")

    def init(key, z, y):
        return {"log_scale": jnp.log(jnp.asarray(scale, wide(z).dtype))}

    def fit(params, z, y):
        chex.assert_rank(y, 2)
        return z, y

    def score(params, task, z):
        support, y = task
        return attention_logits((1.0 - cosine(z, support)) * jnp.exp(params["log_scale"]), y)

    return Head(init, fit, score)


def attention_logits(similarities: Array, y: Array) -> Array:
    """log sum_s exp(similarities[q, s]) y[s, w]: [Q, S], [S, W] -> [Q, W].

    A class without rows gets a logit so low that its probability is zero.
    """
    given, least = y > 0, jnp.finfo(similarities.dtype).min / 2
    log_weight = jnp.where(given, jnp.log(jnp.where(given, y, 1.0)), least)
    return jax.nn.logsumexp(similarities[:, :, None] + log_weight, axis=1)
