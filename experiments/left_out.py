"""Support rows predicted from the others: what they tell of queries."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.methods import Method
from fsjax.data.table import Rows
from fsjax.evaluation.calibration import choose_temperature, likelihood_by_temperature
from fsjax.types import Array, Params, Support

LEFT_OUT = 100  # most support rows that are left out, each by itself


class LeftOut(NamedTuple):
    """Support rows as predicted from all others but those of their group in their class."""

    own: np.ndarray  # [n] logits of their own classes
    right: np.ndarray  # [n] bool
    temperature: float  # by which logits are to be divided
    confidence: np.ndarray  # [n] largest probabilities


def families(rows: Rows) -> np.ndarray:
    """[N], the same number for rows that are of one group and of one class."""
    _, family = np.unique([rows.labels, rows.group], axis=1, return_inverse=True)
    return family.reshape(-1)


def leave_out(
    method: Method, params: Params, support: Support, family: np.ndarray
) -> LeftOut | None:
    """Predicts rows without those of their family, if their class has another.

    Args:
      method: any that is not transductive.
      params: of its learner.
      support: labelled rows.
      family: [N] of `families`.

    Returns:
      What is found of at most `LEFT_OUT` of them; None if no class has two families.
    """
    labels = np.asarray(support.labels)
    sizes = np.bincount(family, labels.any(-1))[family]
    several = np.flatnonzero(labels @ labels.sum(0) > sizes)
    if not len(several):
        return None
    drawn = np.random.default_rng(0).permutation(several)[:LEFT_OUT]

    @jax.jit
    def predicted(params: Params, support: Support, drawn: Array) -> Array:
        def one(i: Array) -> Array:
            kept = family != jnp.asarray(family)[i]
            others = support._replace(labels=support.labels * kept[:, None])
            row = jax.tree.map(lambda x: x[i][None], support.inputs)
            return method.learner.predict(params, method.learner.adapt(params, others), row)[0]

        return jax.lax.map(one, drawn)

    logits, targets = np.asarray(predicted(params, support, drawn)), labels[drawn]
    # Targets as of Platt 1999: without the doubt of one row more, rows that are all right would
    # have the least temperature there is.
    doubt = (len(drawn) * targets + 1 / targets.shape[1]) / (len(drawn) + 1)
    temperature = choose_temperature(likelihood_by_temperature(jnp.asarray(logits), doubt)[None])
    chances = np.exp(log_softmax(logits / temperature))
    right = logits.argmax(-1) == targets.argmax(-1)
    return LeftOut((logits * targets).sum(-1), right, temperature, chances.max(-1))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logits [..., W] as log-probabilities, in double precision."""
    return np.array(jax.nn.log_softmax(logits, axis=-1), np.float64)
