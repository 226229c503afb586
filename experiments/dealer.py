"""The episodes that a config asks for."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from experiments.deal import deal
from experiments.devices import mesh_of_tasks
from experiments.names import parse_names
from fsjax.data.columns import kind_in
from fsjax.data.stored import fetched
from fsjax.episodes import sample
from fsjax.episodes.augment import warp_images
from fsjax.episodes.missing import (
    drop_modalities,
    narrow_views,
    unseen_as_padding,
    unseen_untargeted,
)
from fsjax.episodes.open_set import sample_open_episode
from fsjax.episodes.rows import sample_rows
from fsjax.training.sharding import Divided, fetch_rows
from fsjax.types import Array, Episode, Key, Labelled, Pool, Sample

first_task = partial(jax.tree.map, lambda x: x[0])


def episode_settings(config: ConfigDict) -> dict[str, list[dict[str, Any]]]:
    """Split -> the ways, shots and queries that its episodes are asked with."""
    train, validation, test = config.train, config.validation, config.test

    def setting(ways: int, shots: int | Sequence[int], queries: int) -> dict[str, Any]:
        # JSON makes a list of the pair (low, high), and a list has no hash.
        shots = tuple(shots) if isinstance(shots, list) else shots
        return {"ways": ways, "shots": shots, "queries": queries}

    return {
        "train": [setting(train.ways, train.shots, train.queries)],
        "validation": [setting(validation.ways, validation.shots, validation.queries)],
        "test": [setting(ways, shots, test.queries) for ways, shots in test.settings],
    }


def draw(config: ConfigDict) -> sample.Draw:
    """How the rows of a class are drawn."""
    return sample.draw_apart if config.apart else sample.draw_rows


def training_tasks(config: ConfigDict, train: Pool | Divided | None) -> Sample:
    """key -> a batch of training tasks, rows changed and modalities hidden as the config asks.

    Rows of which the model sees nothing are padding. Without any it can be asked for no batch.

    Raises:
      ValueError: if more tasks than there are were to be seen through a single modality.
    """
    rows = train if isinstance(train, Divided) else Divided(train, {})
    shared = {"tasks": config.train.tasks, "changes": _changes(config, rows.pool)}
    settings = episode_settings(config)["train"][0] | {"draw": draw(config)}
    return deal(
        sample.settle(_draw_tasks, **settings, **shared),
        sample.settle(_change_tasks, **shared),
        rows,
        mesh=mesh_of_tasks(config),
    )


def _changes(
    config: ConfigDict, rows: Pool | None
) -> tuple[tuple[Callable[..., Episode], tuple], ...]:
    """What is done to a training task that has been drawn, each with its settings."""
    names, asked = parse_names(config.modalities), config.train
    if asked.alone + asked.cross > 1:
        raise ValueError(
            f"config.train.alone={asked.alone} and config.train.cross={asked.cross} are shares of "
            "the tasks: they must add up to at most 1"
        )
    changes = []
    if asked.warp:
        pictures = [name for name in names if kind_in(name) == "image"]
        changes += [(warp_images, {"amount": asked.warp, "modality": name}) for name in pictures]
    if len(names) > 1 and asked.drop:
        changes.append((drop_modalities, {"rate": asked.drop}))
    if len(names) > 1 and asked.alone + asked.cross:
        changes.append((narrow_views, {"alone": asked.alone, "cross": asked.cross}))
    if rows and _may_be_unseen(rows, names):
        changes.append((unseen_as_padding, {"modalities": names}))
    return tuple((change, tuple(amounts.items())) for change, amounts in changes)


def check_changes(config: ConfigDict) -> None:
    """Checks that a run has modalities that its training episodes can be changed in.

    Raises:
      ValueError: if there is no image to warp, or no other modality to ask through.
    """
    names, train = parse_names(config.modalities), config.train
    for key, able, wanted in (
        ("warp", "image" in map(kind_in, names), "an image"),
        ("cross", len(names) > 1, "two modalities"),
    ):
        if train[key] and not able:
            raise ValueError(
                f"config.train.{key}={train[key]} wants {wanted}, and there is config.modalities="
                f"{config.modalities} alone: set it to 0"
            )


def may_lack_rows(config: ConfigDict, train: Pool | Divided | None) -> bool:
    """Whether a class of a training task may have no support row that the model sees."""
    rows, asked = train.pool if isinstance(train, Divided) else train, config.train
    hidden = config.objective == "views" or asked.alone + asked.cross > 0
    unseen = bool(rows) and _may_be_unseen(rows, parse_names(config.modalities))
    return unseen or hidden or min(np.atleast_1d(asked.shots)) == 0


def _may_be_unseen(rows: Pool, names: Collection[str]) -> bool:
    """Whether a row may have none of some modalities: where it may have others."""
    held = [source.inputs.present.keys() for source in rows.sources.values()]
    return any(of_row & set(names) and of_row - set(names) for of_row in held)


def _keys(key: Key, tasks: int, changes: Sequence[tuple]) -> Array:
    keys = jax.random.split(key, 1 + len(changes))
    return jax.vmap(partial(jax.random.split, num=tasks), out_axes=1)(keys)  # [T, 1 + changes]


def _draw_tasks(
    key: Key,
    rows: Divided,
    *,
    read: Callable[[Episode], Episode],
    mesh: Mesh | None,
    tasks: int,
    changes: Sequence[tuple],
    **settings: Any,
) -> Episode:
    def one(keys: Array, pool: Pool) -> Episode:
        return read(sample.sample_episode(keys[0], pool, **settings))

    all_of, keys = jax.vmap(one, in_axes=(0, None)), _keys(key, tasks, changes)
    if mesh is None:
        return all_of(keys, rows.pool)
    (axis,) = mesh.axis_names

    def of_device(keys: Array, rows: Divided) -> Episode:
        pool = jax.tree.map(lambda x: lax.pcast(x, axis, to="varying"), rows.pool)
        return fetch_rows(all_of(keys, pool), rows.shards, axis)

    # Left to the compiler every device would draw all tasks: it cannot divide a top_k.
    specs = {"in_specs": (P(axis), Divided(P(), P(axis))), "out_specs": P(axis)}
    return jax.shard_map(of_device, mesh=mesh, **specs)(keys, rows)


def _change_tasks(
    key: Key, batch: Episode, *, mesh: Mesh | None, tasks: int, changes: Sequence[tuple]
) -> Episode:
    def one(keys: Array, episode: Episode) -> Episode:
        for key, (change, amounts) in zip(keys[1:], changes, strict=True):
            episode = change(key, episode, **dict(amounts))
        return episode

    all_of = jax.vmap(one)
    if mesh is not None:
        spec = P(*mesh.axis_names)
        all_of = jax.shard_map(all_of, mesh=mesh, in_specs=(spec, spec), out_specs=spec)
    return all_of(_keys(key, tasks, changes), batch)


def training_rows(config: ConfigDict, train: Pool | None) -> Sample:
    """key -> rows of all training classes, for training that knows no episodes.

    Rows of which the model sees nothing have no target. Without any it can be asked for no
    batch.
    """
    names = parse_names(config.modalities)
    sees = names if train and _may_be_unseen(train, names) else ()
    return deal(
        sample.settle(_draw_rows, rows=config.train.rows),
        sample.settle(_change_rows, sees=sees),
        train,
    )


def _draw_rows(
    key: Key,
    pool: Pool,
    *,
    read: Callable[[Labelled], Labelled],
    mesh: None,
    rows: int,
) -> Labelled:
    return read(sample_rows(key, pool, rows=rows))


def _change_rows(key: Key, batch: Labelled, *, mesh: None, sees: Collection[str]) -> Labelled:
    return unseen_untargeted(batch, modalities=sees) if sees else batch


def episodes(config: ConfigDict, rows: Pool, **settings: int) -> Callable[[Key], Episode]:
    """key -> one episode of the given ways, shots and queries."""
    return _bound(sample.sample_episode, rows, draw=draw(config), **settings)


def open_episodes(config: ConfigDict, rows: Pool, **settings: int) -> Callable[[Key], Episode]:
    """key -> one episode in which the queries of some classes are of none that it knows."""
    asked = settings | {"unknown": config.test.unknown}
    return _bound(sample_open_episode, rows, draw=draw(config), **asked)


def _bound(one: Callable[..., Episode], rows: Pool, **settings: Any) -> Callable[[Key], Episode]:
    return sample.bind_pool(_fetched, rows, one=one, **settings)


def _fetched(key: Key, rows: Pool, *, one: Callable[..., Episode], **settings: Any) -> Episode:
    return fetched(one(key, rows, **settings))
