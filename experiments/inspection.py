"""Arrays that show what a model does, for the report: confusion, one episode, attention."""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments import build, compiled, dealer, jobs
from fsjax.data.pool import make_pool
from fsjax.data.table import Table, take_classes
from fsjax.evaluation.attribution import MOST, Attribution, attribute
from fsjax.evaluation.episodic import episode_logits
from fsjax.fusion.attention import attention_shares
from fsjax.heads.prototype import class_means
from fsjax.types import Array, Episode, Inputs, Key, Learner, Params, Pool, Sample

CONFUSION_CLASSES, CONFUSION_EPISODES = 20, 100
PICTURE_CLASSES, ATTRIBUTED_EPISODES = 5, 200
SYNTHETIC_PICTURES = 8


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
      confusion [K, K] and confusion_classes [K]; picture_* of one episode; gallery_* of a learner
      that makes pictures, [W, G, H, W', C] of gallery_classes [W]; attention [M, B] of
      the modalities attention_modalities [M], if the fusion tells it; and, of metric
      learners of several modalities, attribution_shapley and attribution_left_out [E, M] of the
      modalities attribution_modalities [M].
    """
    key = jax.random.key(jobs.TEST_KEY)
    settings = dealer.episode_settings(config)["test"][0]

    def deal(rows: Pool, ways: int) -> Sample:
        ways = min(ways, len(rows.side.values["class"]))
        return dealer.episodes(config, rows, **(settings | {"ways": ways}))

    # Learners that are no metric ones may take no other ways than they are tested with.
    many, some = (CONFUSION_CLASSES, PICTURE_CLASSES) if model.fast else 2 * (settings["ways"],)
    few = take_classes(test, test.classes[:CONFUSION_CLASSES])
    found = _confusion(
        model, params, _with_class_ids(make_pool(few)), partial(deal, ways=many), key
    )
    arrays = {"confusion": found, "confusion_classes": np.array(few.classes)}
    pool = _with_class_ids(make_pool(test))
    arrays |= _picture(model, params, deal(pool, some), test.classes, key)
    if config.learner == "pictures":
        arrays |= gallery(config, model, params, deal(pool, some), test.classes, key)
    arrays |= _attention(model, params, deal(pool, many), key)
    if model.fast and 1 < len(model.module.encoders) <= MOST:
        _, rows = jobs.prepared(model, params, pool)
        arrays |= _attribution(model.fast.learner, params, deal(rows, some), key)
    return arrays


def _with_class_ids(pool: Pool) -> Pool:
    ids = jnp.arange(len(next(iter(pool.sources.values())).count))
    values, present = pool.side
    side = Inputs({**values, "class": ids}, {**present, "class": jnp.ones(len(ids))})
    return pool._replace(side=side)


def _confusion(
    model: build.Model, params: Params, pool: Pool, deal: Callable[..., Sample], key: Key
) -> np.ndarray:
    """Counts [K, K] of the classes of a pool over episodes."""
    learner, rows = jobs.prepared(model, params, pool)
    classes = len(pool.side.values["class"])

    @compiled.once
    def count(params: Params, sample: Sample, key: Key) -> Array:
        def one(key: Key) -> Array:
            episode = sample(key)
            ids = episode.support.side.values["class"]
            predicted = ids[episode_logits(learner, params, episode).argmax(-1)]
            true = ids[episode.targets.argmax(-1)]
            return jnp.zeros((classes, classes)).at[true, predicted].add(1.0)

        return jax.lax.map(one, jax.random.split(key, CONFUSION_EPISODES)).sum(0)

    return np.asarray(count(params, deal(rows), key))


def _picture(
    model: build.Model, params: Params, sample: Sample, names: tuple[str, ...], key: Key
) -> dict[str, np.ndarray]:
    @compiled.once
    def look(params: Params, sample: Sample, key: Key) -> tuple[Episode, Array, tuple]:
        episode = sample(key)
        support, _ = model.network.apply(params["network"], episode.support.inputs)
        query, _ = model.network.apply(params["network"], episode.query)
        logits = episode_logits(model.learner, params, episode)
        prototypes = class_means(support, episode.support.labels)
        return episode, logits, (support, query, prototypes)

    episode, logits, (support, *others) = look(params, sample, key)
    inputs, labels, side = episode.support
    given = np.flatnonzero(np.asarray(labels).any(-1))  # where classes differ in rows some pad
    seen, labels, support = jax.tree.map(lambda x: x[given], (inputs.values, labels, support))
    features = (support, *others)
    labels, targets = (np.asarray(y.argmax(-1)) for y in (labels, episode.targets))
    kinds = ("support", "query", "prototype")
    arrays = {
        "picture_features": np.concatenate(features),
        "picture_kinds": np.repeat(kinds, [len(z) for z in features]),
        "picture_labels": np.concatenate([labels, targets, np.arange(targets.max() + 1)]),
        "picture_predictions": np.asarray(logits.argmax(-1)),
        "picture_classes": np.array([names[i] for i in side.values["class"]]),
    }
    return arrays | _drawings(seen, episode.query.values)


def _drawings(*parts: Mapping[str, Array]) -> dict[str, np.ndarray]:
    if "image" not in parts[0] or parts[0]["image"].ndim < 4:  # a frozen encoder saw them
        return {}
    return {"picture_images": np.concatenate([np.asarray(part["image"]) for part in parts])}


def gallery(
    config: ConfigDict,
    model: build.Model,
    params: Params,
    sample: Sample,
    names: tuple[str, ...],
    key: Key,
) -> dict[str, np.ndarray]:
    """Pictures of the classes of an episode, as many for one as for another.

    Args:
      config: of the model.
      model: whose learner makes pictures.
      params: its parameters.
      sample: episodes that know the classes' places among the names.
      names: of all classes.
      key: of the episode and the noise.

    Returns:
      gallery_support, gallery_query and gallery_synthetic [W, G, H, W', C] uint8, each with its
      own G, and gallery_classes [W]; nothing if the rows are no pictures of uint8.
    """
    (modality,) = model.module.encoders
    rows = jax.eval_shape(sample, key).query.values[modality]
    if rows.ndim < 4 or rows.dtype != np.uint8:
        return {}
    generate = build.generator(config).generate

    @compiled.once
    def look(params: Params, sample: Sample, key: Key) -> tuple[Episode, Array]:
        episode = sample(key)
        condition = model.learner.examples(params, episode, key).condition
        keys = jax.random.split(key, SYNTHETIC_PICTURES)
        return episode, jax.vmap(lambda k: generate(params["generator"], condition, k))(keys)

    episode, made = look(params, sample, key)
    support, query = (x.values[modality] for x in (episode.support.inputs, episode.query))
    bytes_made = np.clip(np.rint(127.5 * (np.asarray(made) + 1)), 0, 255).astype(np.uint8)
    # What is made is made for each query: those for the first of a class are shown.
    first = np.asarray(episode.targets).argmax(0)
    return {
        "gallery_support": _by_class(support, episode.support.labels),
        "gallery_query": _by_class(query, episode.targets),
        "gallery_synthetic": bytes_made[:, first].swapaxes(0, 1),
        "gallery_classes": np.array([names[i] for i in episode.support.side.values["class"]]),
    }


def _by_class(rows: Array, labels: Array) -> np.ndarray:
    """Rows [B, ...] as [W, G, ...], G the rows of the class that has fewest."""
    of_classes = [np.asarray(rows)[column > 0] for column in np.asarray(labels).T]
    fewest = min(map(len, of_classes))
    return np.stack([each[:fewest] for each in of_classes])


def _attention(
    model: build.Model, params: Params, sample: Sample, key: Key
) -> dict[str, np.ndarray]:
    @compiled.once
    def look(params: Params, sample: Sample, key: Key) -> dict[str, Array]:
        query = sample(key).query
        weight = jnp.ones(len(next(iter(query.present.values()))))
        network = model.weights(params["network"])
        variables = {"params": network}
        tokens, _ = model.module.apply(variables, query, weight, method="encode", mutable=["stats"])
        present = {name: query.present[name] for name in tokens}
        fusion = network.get("fusion", {})
        return attention_shares(model.module.fusion, fusion, tokens, present)

    shares = look(params, sample, key)
    if not shares:
        return {}
    modalities = sorted(shares)
    return {
        "attention_modalities": np.array(modalities),
        "attention": np.stack([np.asarray(shares[m]) for m in modalities]),
    }


def _attribution(
    learner: Learner, params: Params, sample: Sample, key: Key
) -> dict[str, np.ndarray]:
    """What each modality is worth to the accuracy of episodes [E, M], by name of modality."""

    @compiled.once
    def look(params: Params, sample: Sample, key: Key) -> Attribution:
        def one(i: Array) -> Attribution:
            return attribute(learner, params, sample(jax.random.fold_in(key, i)))

        return jax.lax.map(one, jnp.arange(ATTRIBUTED_EPISODES), batch_size=10)

    found = look(params, sample, key)
    modalities = sorted(found.shapley)
    arrays = {"shapley": found.shapley, "left_out": found.leave_one_out}
    return {"attribution_modalities": np.array(modalities)} | {
        f"attribution_{name}": np.stack([np.asarray(x[m]) for m in modalities], axis=1)
        for name, x in arrays.items()
    }
