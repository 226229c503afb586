"""Synthetic rows beside the real ones of a support set."""

from collections.abc import Callable
from math import prod
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fsjax.heads.prototype import class_means
from fsjax.learners.descriptions import of_kind
from fsjax.learners.embedding import embed, embed_in_turn
from fsjax.types import (
    Array,
    Condition,
    Episode,
    Examples,
    Generator,
    Inputs,
    Key,
    Learner,
    Network,
    Params,
    Stats,
    Support,
    Task,
)

FEATURES = "features"  # the modality that the wrapped learner reads
Weights = Callable[[Array], Array]  # weight of a class's real rows [W] -> of its synthetic [W, G]
Describe = Callable[[Array, Inputs], Condition]  # prototypes, side [W, ...] -> [W, ...]


class HallucinatedTask(NamedTuple):
    """What is kept of a support set."""

    learned: Task  # of the wrapped learner, from real and synthetic rows
    stats: Stats  # normalisation statistics of the support set


class Hallucinator(NamedTuple):
    """A few-shot method, as `fsjax.types.Learner`, and what trains its generator and relation."""

    init: Callable[[Key, Support], Params]
    adapt: Callable[..., HallucinatedTask]
    predict: Callable[..., Array]
    examples: Callable[[Params, Episode, Key], Examples]  # queries beside what is known of them
    rows: Callable[[Params, Episode, Key], tuple[Array, Array]]  # all features, labels of classes


def equal_weights(rows: int, *, total: float = 1.0) -> Weights:
    """As many synthetic rows for every class, which together weigh as much as `total` real ones."""
    return lambda counts: jnp.full((len(counts), rows), total / max(rows, 1))


def missing_weights(up_to: int) -> Weights:
    """As many synthetic rows as a class lacks: to be as large as another, or to have more than one.

    Args:
      up_to: rows that every class is to have at least; each synthetic one weighs as a real one.
    """
    return lambda counts: jnp.clip(up_to - counts[:, None] - jnp.arange(up_to), 0.0, 1.0)


def by_prototype(prototypes: Array, side: Inputs) -> Condition:
    """Classes known by their prototypes alone."""
    return Condition(prototypes, jnp.zeros((len(prototypes), 0)))


def by_side(modality: str) -> Describe:
    """Classes known by descriptions alone, vectors [W, C] of a modality, zeros where absent."""
    return lambda prototypes, side: Condition(
        jnp.zeros_like(prototypes), of_kind(side, modality).values[modality]
    )


def by_both(modality: str) -> Describe:
    """Classes known by prototypes and descriptions, vectors [W, C] of a modality, zeros where
    absent.
    """
    return lambda prototypes, side: Condition(prototypes, of_kind(side, modality).values[modality])


def hallucinate(
    network: Network,
    learner: Learner,
    generator: Generator,
    *,
    weights: Weights,
    describe: Describe = by_prototype,
    share: float = 0.5,
) -> Hallucinator:
    """A learner that adapts to real rows and to synthetic ones of the same classes (Wang et al.
    2018, https://arxiv.org/abs/1801.05401).

    A class of which the generator is told nothing gets none, nor does it learn from the queries of
    one: one without a row, unless it is told a description, and one without a description where it
    is told nothing else.

    Args:
      network: rows -> features [B, D], or anything that the generator makes [B, ...].
      learner: any; its inputs have one modality, `FEATURES`, which are those features.
      generator: what is known of classes -> features.
      weights: of synthetic rows, by the weight of the real ones of their class.
      describe: what the generator is told of a class.
      share: of the weight of all rows of an episode that the synthetic ones have together where
        triplets are made of them; between 0 and 1.

    Returns:
      The learner; its parameters are {"network": ..., "learner": ..., "generator": ...}. Without a
      key, as in evaluation, it draws the same noise for every episode.

    Raises:
      ValueError: if `share` is not at least 0 and below 1.
    """
    if not 0 <= share < 1:
        raise ValueError(f"the share of synthetic rows must be in [0, 1), got {share}")

    embed_all = embed_in_turn(network)

    def known(z: Array, support: Support) -> Condition:
        prototypes = class_means(z.reshape(len(z), prod(z.shape[1:])), support.labels)
        return describe(prototypes.reshape(-1, *z.shape[1:]), support.side)

    def synthesise(params: Params, z: Array, support: Support, key: Key) -> tuple[Array, Array]:
        of_classes = known(z, support)
        each = weights(support.labels.sum(0)) * _told(of_classes)[:, None]
        ways, number = each.shape
        condition = jax.tree.map(lambda x: jnp.repeat(x, number, 0), of_classes)
        labels = jnp.repeat(jnp.eye(ways), number, 0) * each.reshape(-1, 1)
        return generator.generate(params["generator"], condition, key), labels

    def init(key: Key, support: Support) -> Params:
        key_network, key_learner, key_generator = jax.random.split(key, 3)
        params = {"network": network.init(key_network, support.inputs)}
        z, _ = embed(network, params["network"], support.inputs, support.labels)
        rows = support._replace(inputs=_as_inputs(z))
        examples = _examples(z, support.labels, known(z, support))
        return params | {
            "learner": learner.init(key_learner, rows),
            "generator": generator.init(key_generator, examples),
        }

    def adapt(
        params: Params, support: Support, *, key: Key | None = None, train: bool = False
    ) -> HallucinatedTask:
        # Random number generators have no "none": evaluation draws from a key of its own.
        keys = jax.random.split(jax.random.key(0) if key is None else key, 3)
        of_network, of_learner = (None if key is None else k for k in keys[:2])
        z, stats = embed(
            network, params["network"], support.inputs, support.labels, key=of_network, train=train
        )
        made = synthesise(params, z, support, keys[2])
        rows, labels = _joined((z, support.labels), made)
        whole = Support(_as_inputs(rows), labels, support.side)
        learned = learner.adapt(params["learner"], whole, key=of_learner, train=train)
        return HallucinatedTask(learned, stats)

    def predict(
        params: Params,
        task: HallucinatedTask,
        query: Inputs,
        *,
        key: Key | None = None,
        train: bool = False,
    ) -> Array:
        keys = (None, None) if key is None else jax.random.split(key)
        z, _ = network.apply(params["network"], query, stats=task.stats, key=keys[0], train=train)
        rows = _as_inputs(z)
        return learner.predict(params["learner"], task.learned, rows, key=keys[1], train=train)

    def examples(params: Params, episode: Episode, key: Key) -> Examples:
        z, _ = embed_all(params, episode, key)
        shots = len(episode.support.labels)
        of_classes = known(z[:shots], episode.support)
        targets = episode.targets * _told(of_classes)
        return _examples(z[shots:], targets, of_classes)

    def rows(params: Params, episode: Episode, key: Key) -> tuple[Array, Array]:
        key_embed, key_noise = jax.random.split(key)
        real = embed_all(params, episode, key_embed)
        z = real[0][: len(episode.support.labels)]
        made, labels = synthesise(params, z, episode.support, key_noise)
        total = labels.sum()
        labels *= real[1].sum() * share / (1 - share) / jnp.where(total > 0, total, 1.0)
        return _joined(real, (jax.lax.stop_gradient(made), labels))

    return Hallucinator(init, adapt, predict, examples, rows)


def _told(of_classes: Condition) -> Array:
    """Whether anything is told of each class [W]: zeros stand for what is not."""
    return jnp.stack([x.any(tuple(range(1, x.ndim))) for x in of_classes]).any(0)


def _as_inputs(z: Array) -> Inputs:
    return Inputs({FEATURES: z}, {FEATURES: jnp.ones(len(z))})


def _joined(a: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
    return jnp.concatenate([a[0], b[0]]), jnp.concatenate([a[1], b[1]])


def _examples(z: Array, labels: Array, of_classes: Condition) -> Examples:
    condition = jax.tree.map(lambda x: x[labels.argmax(-1)], of_classes)
    return Examples(z, condition, labels.sum(-1))
