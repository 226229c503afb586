"""Features of absent modalities, filled in from those of the modalities that are there."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

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
    Tokens,
)

Present = Mapping[str, Array]


class ImputedTask(NamedTuple):
    """What is kept of a support set."""

    learned: Task  # of the wrapped learner, from rows that are filled in
    stats: Stats  # normalisation statistics of the support set, of the encoders


class Imputer(NamedTuple):
    """A few-shot method, as `fsjax.types.Learner`, and what trains what it fills in."""

    init: Callable[[Key, Support], Params]
    adapt: Callable[..., ImputedTask]
    predict: Callable[..., Array]
    filled: Callable[[Params, Inputs], Inputs]  # Tokens of the encoders -> none absent
    examples: Callable[[Params, Episode, Key], dict[str, Examples]]  # by modality, of all rows


def imputed(
    network: Network,
    encode: Network,
    learner: Learner,
    generator: Generator,
    *,
    pool: Callable[[Tokens], Array],
) -> Imputer:
    """A learner that sees features in the place of absent modalities (after Tran et al. 2017,
    https://openaccess.thecvf.com/content_cvpr_2017/html/Tran_Missing_Modalities_Imputation_CVPR_2017_paper.html;
    Ma et al. 2021, https://arxiv.org/abs/2103.05677).

    A row that has none of its modalities is left as it is. No gradient passes through what is
    filled in: the generator learns from rows that have the modality, and from nothing else.

    Args:
      network: rows -> features, the encoders and the fusion.
      encode: the same network as far as the tokens {m: [B, L_m, D_m]}.
      learner: any whose inputs are such tokens and whose parameters hold "network".
      generator: of what is known of rows -> mean tokens [B, D_m]; the prototype that it is told is
        zero, the side the mean tokens of the other modalities, zeros for those absent, and which
        of them are there.
      pool: tokens [B, L, D] -> their mean [B, D], zero if all are padding.

    Returns:
      The learner; its parameters are those of the wrapped one and {"generator": {m: ...}}. Its
      `init` raises ValueError if there is one modality alone.
    """

    def encoded(params: Params, inputs: Inputs, **how: Any) -> tuple[Inputs, Stats]:
        tokens, stats = encode.apply(params["network"], inputs, **how)
        return Inputs(tokens, inputs.present), stats

    def filled(params: Params, rows: Inputs) -> Inputs:
        means, there = _means(pool, rows)
        some = jnp.stack(list(there.values())).max(0)
        values, present = {}, dict(rows.present)
        for m, tokens in rows.values.items():
            condition = _known(means, there, m)
            made = generator.generate(params["generator"][m], condition, jax.random.key(0))
            absent = (1 - there[m]) * some
            values[m] = _in_place(absent, jax.lax.stop_gradient(made), tokens)
            present[m] = jnp.where(absent > 0, 1.0, rows.present[m])
        return Inputs(values, present)

    def init(key: Key, support: Support) -> Params:
        if len(support.inputs.values) < 2:
            raise ValueError(
                "an absent modality is filled in from others, and the inputs have one alone: "
                f"{', '.join(support.inputs.values)}"
            )
        key_network, key_learner, key_generator = jax.random.split(key, 3)
        params = {"network": network.init(key_network, support.inputs)}
        rows, _ = encoded(params, support.inputs, weight=support.labels.sum(-1))
        params = learner.init(key_learner, support._replace(inputs=rows)) | params
        means, there = _means(pool, rows)
        keys = jax.random.split(key_generator, len(means))
        made = {
            m: generator.init(key, Examples(means[m], _known(means, there, m), there[m]))
            for m, key in zip(sorted(means), keys, strict=True)
        }
        return params | {"generator": made}

    def adapt(
        params: Params, support: Support, *, key: Key | None = None, train: bool = False
    ) -> ImputedTask:
        keys = (None, None) if key is None else jax.random.split(key)
        how = {"weight": support.labels.sum(-1), "key": keys[0], "train": train}
        rows, stats = encoded(params, support.inputs, **how)
        whole = support._replace(inputs=filled(params, rows))
        return ImputedTask(learner.adapt(params, whole, key=keys[1], train=train), stats)

    def predict(
        params: Params,
        task: ImputedTask,
        query: Inputs,
        *,
        key: Key | None = None,
        train: bool = False,
    ) -> Array:
        keys = (None, None) if key is None else jax.random.split(key)
        rows, _ = encoded(params, query, stats=task.stats, key=keys[0], train=train)
        whole = filled(params, rows)
        return learner.predict(params, task.learned, whole, key=keys[1], train=train)

    def examples(params: Params, episode: Episode, key: Key) -> dict[str, Examples]:
        key_support, key_query, key_hide = jax.random.split(key, 3)
        support, given = episode.support, (episode.support.labels, episode.targets)
        weights = [labels.sum(-1) for labels in given]
        how = {"weight": weights[0], "key": key_support, "train": True}
        first, stats = encoded(params, support.inputs, **how)
        how = {"weight": weights[1], "key": key_query, "train": True, "stats": stats}
        second, _ = encoded(params, episode.query, **how)
        rows = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, second)
        means, there = _means(pool, rows)
        seen = _some(key_hide, there)
        weight = (jnp.concatenate(weights) > 0).astype(jnp.float32)

        def of_modality(target: str) -> Examples:
            others = jnp.stack([seen[m] for m in seen if m != target]).max(0)
            condition = _known(means, seen, target)
            return Examples(means[target], condition, weight * there[target] * others)

        return {m: of_modality(m) for m in means}

    return Imputer(init, adapt, predict, filled, examples)


def _means(
    pool: Callable[[Tokens], Array], rows: Inputs
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Modality -> mean tokens [B, D_m], and whether there are any [B]."""
    means = {m: pool(tokens) for m, tokens in rows.values.items()}
    return means, {m: rows.present[m] * rows.values[m].mask.max(1) for m in means}


def _known(means: Present, there: Present, target: str) -> Condition:
    """What all modalities but one say of it: their means, and which of them are there."""
    others = [m for m in sorted(means) if m != target]
    told = [means[m] * there[m][:, None] for m in others]
    told += [there[m][:, None] for m in others]
    return Condition(jnp.zeros_like(means[target]), jnp.concatenate(told, 1))


def _in_place(absent: Array, made: Array, tokens: Tokens) -> Tokens:
    """Tokens [B, L, D], those of absent rows being one, made [B, D], and padding."""
    one = jnp.arange(tokens.mask.shape[1]) == 0
    return Tokens(
        jnp.where(absent[:, None, None] > 0, made[:, None] * one[:, None], tokens.values),
        jnp.where(absent[:, None] > 0, one, tokens.mask),
    )


def _some(key: Key, there: Present) -> dict[str, Array]:
    """For half of the rows all modalities that are there, for the others each by half a chance."""
    names = sorted(there)
    key_all, key_each = jax.random.split(key)
    rows = len(there[names[0]])
    every = jax.random.bernoulli(key_all, shape=(rows,))
    each = jax.random.bernoulli(key_each, shape=(len(names), rows))
    return {m: there[m] * (every | kept) for m, kept in zip(names, each, strict=True)}
