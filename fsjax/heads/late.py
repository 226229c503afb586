"""Late fusion: a head for each modality, and the sum of what they say."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from fsjax.heads.distances import squared_euclidean
from fsjax.heads.prototype import class_means, within_classes
from fsjax.types import Array, Head

Trust = Callable[[Array, Array], Array]  # z [S, D], y [S, W] of a modality -> []


def alike(z: Array, y: Array) -> Array:
    """The same trust in every modality of every episode."""
    return jnp.ones(())


def precision(*, strength: float = 5.0) -> Trust:
    """Trust in a modality in which the rows of a class lie close together.

    Logits of distances are in units of a variance. That of an episode is estimated from the n
    degrees of freedom of its support set beside a prior worth v of them, by which the classes are
    as wide as they are apart: (v b + n w) / (v + n), with b and w the mean squared distance
    between and within classes. Trust is b over it: one where there is one row of a class, and at
    most b / w where there are many.

    Args:
      strength: v.

    Returns:
      z [S, D], y [S, W] -> [].
    """

    def trust(z: Array, y: Array) -> Array:
        known, means = y.sum(0) > 0, class_means(z, y)
        within, freedom = within_classes(z, y, means)
        pairs = known[:, None] & known & ~jnp.eye(len(known), dtype=bool)
        apart = jnp.where(pairs, squared_euclidean(means, means), 0.0).sum()
        between = apart / jnp.maximum(pairs.sum(), 1) / 2
        variance = (strength * between + within) / (strength + freedom)
        return jnp.where(variance > 0, between / jnp.where(variance > 0, variance, 1.0), 1.0)

    return trust


def with_unknown(head: Head) -> Head:
    """A head that gives a class of no rows the mean logit of the others, times a learned factor.

    At first that says nothing for or against it, and then it is how near a query has to come to
    other classes to be no row of this one.

    Args:
      head: that knows nothing of such classes, as all but `fsjax.heads.predictive`.

    Returns:
      The head; its task is that of the head and the classes of which there are rows [W].
    """

    def init(key, z, y):
        return {"head": head.init(key, z, y), "unknown": jnp.zeros(())}

    def fit(params, z, y):
        return head.fit(params["head"], z, y), y.sum(0) > 0

    def score(params, task, z):
        fitted, known = task
        logits = head.score(params["head"], fitted, z)
        middle = jnp.where(known, logits, 0.0).sum(-1) / jnp.maximum(known.sum(), 1)
        return jnp.where(known, logits, (middle * jnp.exp(params["unknown"]))[:, None])

    return Head(init, fit, score)


def late(head: Head, *, modalities: int, trust: Trust = alike) -> Head:
    """Adds the logits of a head of each modality, by learned weights and where it is there.

    Args:
      head: fitted to each modality by itself, to the rows that have it, with parameters of its own;
        one that tells how likely a class is of which no row has it, as `with_unknown` makes any.
      modalities: M; features are those of `fsjax.fusion.stacked.Stacked`.
      trust: how much a modality counts in an episode, besides its learned weight: `precision()`,
        or the same in all.

    Returns:
      The head; its task is that of each modality and how much it counts [M].

    Raises:
      ValueError: if features cannot be divided among the modalities.
    """

    def init(key, z, y):
        rows, labels, _ = _apart(z, y, modalities)
        of_each = jax.vmap(head.init)(jax.random.split(key, modalities), rows, labels)
        return {"each": of_each, "weights": jnp.zeros(modalities)}

    def fit(params, z, y):
        rows, labels, _ = _apart(z, y, modalities)
        counts = jnp.exp(params["weights"]) * jax.vmap(trust)(rows, labels)
        return jax.vmap(head.fit)(params["each"], rows, labels), counts

    def score(params, task, z):
        fitted, counts = task
        rows, _, there = _apart(z, jnp.ones((len(z), 1)), modalities)
        logits = jax.vmap(head.score)(params["each"], fitted, rows)  # [M, Q, W]
        return jnp.einsum("m,mq,mqw->qw", counts, there, logits, precision="highest")

    return Head(init, fit, score)


def _apart(z: Array, y: Array, modalities: int) -> tuple[Array, Array, Array]:
    """[B, M * (D + 1)], [B, W] -> features [M, B, D], labels of those there [M, B, W], [M, B]."""
    if z.shape[-1] % modalities:
        raise ValueError(
            f"{z.shape[-1]} features cannot be those of {modalities} modalities stacked: take the "
            "fusion Stacked and as many modalities as it has"
        )
    places = z.reshape(len(z), modalities, z.shape[-1] // modalities).swapaxes(0, 1)
    there = (places[..., -1] > 0).astype(z.dtype)
    return places[..., :-1], y * there[..., None], there
