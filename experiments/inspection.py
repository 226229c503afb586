"""Arrays that show what a model does, for the report: confusion, one episode, attention."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments import build, jobs
from fsjax.data.pool import make_pool
from fsjax.data.table import Table, take_classes
from fsjax.encoders.multimodal import as_network
from fsjax.evaluation.episodic import episode_logits
from fsjax.fusion.attention import Attention, attention_shares
from fsjax.heads.prototype import class_means
from fsjax.types import Episode, Inputs, Key, Params, Pool

CONFUSION_CLASSES, CONFUSION_EPISODES = 20, 100
PICTURE = {"ways": 5, "shots": 2, "queries": 2}


def inspect(
    config: ConfigDict, model: build.Model, params: Params, test: Table
) -> dict[str, np.ndarray]:
    """All arrays that the report draws, by name.

    Args:
      config: of the model.
      model: its parts.
      params: its parameters.
      test: the test classes, on the host.

    Returns:
      confusion [K, K] and confusion_classes [K]; picture_* of one episode; attention [M, B] of
      the modalities attention_modalities [M], if the fusion is by attention.
    """
    key = jax.random.key(jobs.TEST_KEY)
    few = take_classes(test, test.classes[:CONFUSION_CLASSES])
    found = _confusion(config, model, params, _with_class_ids(make_pool(few)), key)
    arrays = {"confusion": found, "confusion_classes": np.array(few.classes)}
    pool = _with_class_ids(make_pool(test))
    arrays |= _picture(config, model, params, pool, test.classes, key)
    if isinstance(model.module.fusion, Attention):
        arrays |= _attention(config, model, params, pool, key)
    return arrays


def _with_class_ids(pool: Pool) -> Pool:
    ids = jnp.arange(len(next(iter(pool.sources.values())).count))
    return pool._replace(side=Inputs({"class": ids}, {"class": jnp.ones(len(ids))}))


def _confusion(
    config: ConfigDict, model: build.Model, params: Params, pool: Pool, key: Key
) -> np.ndarray:
    """Counts [K, K] over episodes in which all classes of the pool stand."""
    learner, rows = jobs.prepared(model, params, pool)
    classes = len(pool.side.values["class"])
    sample = build.episodes(config, rows, ways=classes, shots=1, queries=2)

    @jax.jit
    def count(params: Params, sample: Any, key: Key) -> jax.Array:
        def one(key: Key) -> jax.Array:
            episode = sample(key)
            ids = episode.support.side.values["class"]
            predicted = ids[episode_logits(learner, params, episode).argmax(-1)]
            true = ids[episode.targets.argmax(-1)]
            return jnp.zeros((classes, classes)).at[true, predicted].add(1.0)

        return jax.lax.map(one, jax.random.split(key, CONFUSION_EPISODES)).sum(0)

    return np.asarray(count(params, sample, key))


def _picture(
    config: ConfigDict,
    model: build.Model,
    params: Params,
    pool: Pool,
    names: tuple[str, ...],
    key: Key,
) -> dict[str, np.ndarray]:
    episode = build.episodes(config, pool, **PICTURE)(key)
    network = as_network(model.module)
    (support, _), (query, _) = (
        network.apply(params["network"], inputs)
        for inputs in (episode.support.inputs, episode.query)
    )
    labels, targets = (np.asarray(y.argmax(-1)) for y in (episode.support.labels, episode.targets))
    logits = episode_logits(model.learner, params, episode)
    features = (support, query, class_means(support, episode.support.labels))
    kinds = ("support", "query", "prototype")
    arrays = {
        "picture_features": np.concatenate(features),
        "picture_kinds": np.repeat(kinds, [len(z) for z in features]),
        "picture_labels": np.concatenate([labels, targets, np.arange(PICTURE["ways"])]),
        "picture_predictions": np.asarray(logits.argmax(-1)),
        "picture_classes": np.array([names[i] for i in episode.support.side.values["class"]]),
    }
    return arrays | _drawings(episode)


def _drawings(episode: Episode) -> dict[str, np.ndarray]:
    parts = (episode.support.inputs.values, episode.query.values)
    if "image" not in parts[0]:
        return {}
    return {"picture_images": np.concatenate([np.asarray(part["image"]) for part in parts])}


def _attention(
    config: ConfigDict, model: build.Model, params: Params, pool: Pool, key: Key
) -> dict[str, np.ndarray]:
    episode = build.episodes(config, pool, ways=20, shots=1, queries=2)(key)
    query, weight = episode.query, jnp.ones(len(episode.targets))
    encode = jax.jit(lambda p: model.module.apply({"params": p}, query, weight, method="encode"))
    tokens = encode(params["network"])
    present = {name: query.present[name] for name in tokens}
    shares = attention_shares(model.module.fusion, params["network"]["fusion"], tokens, present)
    modalities = sorted(shares)
    return {
        "attention_modalities": np.array(modalities),
        "attention": np.stack([np.asarray(shares[m]) for m in modalities]),
    }
