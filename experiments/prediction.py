"""From a support set to predictions: adapt once, ask as often as you like.

predictor = adapt(read_csv("support.csv", sizes=methods.SIZES))
found = predictor.predict(read_queries("query.csv", "support.csv", sizes=methods.SIZES))
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import compiled
from experiments.features import kind_of
from experiments.left_out import LeftOut, families, leave_out, log_softmax
from experiments.methods import Method, in_blocks, untrained
from fsjax.data.table import Rows, Table
from fsjax.evaluation.abstention import least_confidence
from fsjax.evaluation.attribution import all_subsets, shapley_weights
from fsjax.evaluation.episodic import is_transductive
from fsjax.heads.distances import cosine
from fsjax.types import Array, Episode, Inputs, Params, Support, Task

NEAREST = 3
MOST_SHARED = 4  # modalities over whose subsets contributions are summed


class Predictions(NamedTuple):
    """What is known of each query."""

    labels: np.ndarray  # [Q] places in the classes
    probabilities: np.ndarray  # [Q, W]
    none_of_these: np.ndarray  # [Q] share of support rows that are nearer to their class, or NaN
    contributions: np.ndarray  # [Q, M] nats, or [Q, 0]
    nearest: np.ndarray  # [Q, 3] places of the support rows with the most similar features
    abstain: np.ndarray  # [Q] bool; where no risk was asked for of NaN, or nothing seen, alone


class Predictor(NamedTuple):
    """A method that has adapted to a support set."""

    about: str  # the method
    classes: tuple[str, ...]
    modalities: tuple[str, ...]  # M of them
    transductive: bool  # whether queries of a block share information
    left_out: LeftOut | None  # None without two groups in a class, and if transductive
    least_confidence: float  # below which it abstains
    predict: Callable[[Inputs], Predictions]  # rows as read, any number; they may lack modalities


def adapt(support: Table, method: Method | None = None, *, risk: float | None = None) -> Predictor:
    """Adapts a method to a support set.

    Args:
      support: labelled rows of one source, any number of each class.
      method: one of `experiments.methods`; the one without training unless given.
      risk: share of errors up to which it predicts rather than abstains, in 0..1, as far as can
        be told by leaving each support row out, with those of its group in its class.

    Returns:
      What predicts queries.

    Raises:
      ValueError: if the rows do not fit the method, a class has none of which it sees anything,
        or a risk cannot be told.
    """
    if risk is not None and not 0 <= risk < 1:
        raise ValueError(f"a risk is a share of errors, at least 0 and below 1, not {risk}")
    if len(support.sources) != 1:
        raise ValueError(
            f"the support set has the sources {', '.join(support.sources)}: give rows of one, in "
            "which what belongs to one thing is one row"
        )
    (rows,) = support.sources.values()
    if method is None:
        method = untrained({name: kind_of(x, name) for name, x in rows.values.items()})
    known = method.rows or {m: _row(x) for m, x in rows.values.items()}
    seen = as_known(known, rows)
    modalities = tuple(sorted(seen.values))  # as they come out of a compiled function
    labels = np.eye(len(support.classes), dtype=np.float32)[rows.labels] * _seen(seen)[:, None]
    if lacking := [support.classes[k] for k in np.flatnonzero(labels.sum(0) == 0)]:
        raise ValueError(
            f"no support row of {', '.join(lacking)} has {' or '.join(modalities)}: give one that "
            "has, or leave the class out"
        )
    labelled = Support(method.embed(seen), jnp.asarray(labels), Inputs({}, {}))
    params = method.params(labelled)
    task = jax.jit(method.learner.adapt)(params, labelled)
    asked = Episode(labelled, labelled.inputs, labels)
    shared = method.rows is not None and is_transductive(
        method.learner, params, asked, jit=compiled.once
    )
    left_out = None if shared else leave_out(method, params, labelled, families(rows))
    if risk is not None and left_out is None:
        raise ValueError("a risk is told by leaving support rows out: " + _why_not(shared))
    least = 0.0
    if risk is not None:
        least = least_confidence(left_out.confidence, left_out.right, risk)
    answer = _answer(method, params, task, labelled, modalities)

    def predict(queries: Inputs) -> Predictions:
        asked = as_known(known, queries)
        if method.rows is None:  # a run says itself what it was trained with
            _check_alike(known, asked)
        embedded = method.embed(asked)
        logits, nearest = in_blocks(answer, embedded, pad=not shared)
        present = np.stack([embedded.present[m] for m in modalities], axis=1)
        return _predictions(logits, nearest, present, left_out, least)

    return Predictor(method.about, support.classes, modalities, shared, left_out, least, predict)


def _why_not(shared: bool) -> str:
    if shared:
        return "this method is transductive, its queries share information; name another"
    return "give two or more rows of a class, of two groups where rows have groups"


def _seen(rows: Inputs) -> np.ndarray:
    """[N], whether a row has any modality."""
    return np.stack(list(rows.present.values())).any(0)


def _row(x: np.ndarray) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape[1:], x.dtype)


def _check_alike(support: Mapping[str, jax.ShapeDtypeStruct], queries: Inputs) -> None:
    for name, row in support.items():
        x = queries.values[name]
        if x.shape[1:] != row.shape or row.dtype.kind not in ("f", x.dtype.kind):
            raise ValueError(
                f"{name} has shape {list(x.shape[1:])} and type {x.dtype} in queries, and in the "
                f"support set {list(row.shape)} and {row.dtype}: read both alike"
            )


def as_known(known: Mapping[str, jax.ShapeDtypeStruct], rows: Rows | Inputs) -> Inputs:
    """Rows with the modalities that are known, those that they lack or that no row has as missing.

    Args:
      known: modality -> a row, of the run or else of the support set.
      rows: as they are read.

    Raises:
      ValueError: if they have none of them.
    """
    if not set(known) & set(rows.values):
        raise ValueError(
            f"known are {', '.join(known)}, and there is {', '.join(rows.values)}: name "
            "columns as these modalities, or say which they are, as in image:photo"
        )
    count = len(next(iter(rows.present.values())))
    values, present = {}, {}
    for name, row in known.items():
        there = rows.present.get(name, np.zeros(count, np.float32))
        blank = np.zeros((count, *row.shape), row.dtype)
        values[name] = rows.values[name] if np.any(there) else blank
        present[name] = there
    return Inputs(values, present)


def _masks(number: int) -> np.ndarray:
    """Subsets of modalities but the empty one, all of them last: [2^M - 1, M], or [1, M]."""
    if number > MOST_SHARED:
        return np.ones((1, number), np.float32)
    return all_subsets(number)[1:].astype(np.float32)


def _answer(
    method: Method, params: Params, task: Task, support: Support, modalities: tuple[str, ...]
) -> Callable[[Inputs], tuple[Array, Array]]:
    """Queries [B, ...] -> logits [B, subsets, W] by what is seen, and the nearest rows [B, 3]."""
    masks = jnp.asarray(_masks(len(modalities)))

    @jax.jit
    def answer(params: Params, task: Task, support: Support, query: Inputs) -> tuple[Array, Array]:
        def seen(mask: Array) -> Array:
            present = {m: query.present[m] * mask[i] for i, m in enumerate(modalities)}
            return method.learner.predict(params, task, query._replace(present=present))

        known, stats = method.network.apply(params["network"], support.inputs)
        asked, _ = method.network.apply(params["network"], query, stats=stats)
        near = cosine(asked.reshape(len(asked), -1), known.reshape(len(known), -1))
        near = jnp.where(support.labels.any(-1), near, jnp.inf)
        nearest = jax.lax.top_k(-near, min(NEAREST, len(known)))[1]
        return jax.lax.map(seen, masks).swapaxes(0, 1), nearest

    return lambda query: answer(params, task, support, query)


def _predictions(
    logits: np.ndarray,
    nearest: np.ndarray,
    present: np.ndarray,
    left_out: LeftOut | None,
    least: float,
) -> Predictions:
    temperature = 1.0 if left_out is None else left_out.temperature
    unseen, nothing = ~present.any(-1), -math.log(logits.shape[-1])
    chances = log_softmax(logits / temperature)  # [Q, subsets, W]
    chances[unseen] = nothing
    whole = chances[:, -1]
    labels = whole.argmax(-1)
    none = np.full(len(labels), np.nan)
    if left_out is not None:
        nearer = np.searchsorted(np.sort(left_out.own), logits[:, -1].max(-1), side="right")
        none = (len(left_out.own) - nearer) / (len(left_out.own) + 1)
        none[unseen] = np.nan
    shares = np.zeros((len(labels), 0))
    if (number := present.shape[1]) <= MOST_SHARED:
        seen = present @ _masks(number).T > 0
        worth = np.where(seen, chances[np.arange(len(labels)), :, labels], nothing)
        shares = np.insert(worth, 0, nothing, axis=1) @ shapley_weights(number).T
    probabilities = np.exp(whole)
    abstain = unseen | ~(probabilities.max(-1) >= least)  # of NaN always
    return Predictions(labels, probabilities, none, shares, nearest, abstain)
