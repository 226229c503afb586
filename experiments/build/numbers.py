"""Whether the numbers of a config are such that there are episodes, and steps that end."""

from collections.abc import Collection, Sequence
from functools import reduce
from operator import getitem

import numpy as np
from ml_collections import ConfigDict

from experiments.build.learners import GENERATE, TOLD, is_told
from experiments.build.parts import models
from experiments.dealer import episode_settings
from experiments.names import parse_names

LEAST = {
    "seed": 0,
    "seeds": 1,
    "workers": 0,
    "data.image_size": 1,
    "data.text_length": 1,
    "data.frames": 1,
    "data.steps": 1,
    "data.ahead": 1,
    "train.steps": 0,
    "train.chunk": 1,
    "train.tasks": 1,
    "train.block": 0,
    "train.rows": 1,
    "train.queries": 0,  # where every row asks there may be none
    "train.patience": 0,
    "inner.steps": 1,
    "inner.test_steps": 0,
    "finetune.steps": 1,
    "generation.rows": 0,
    "generation.weight": 0,
    "generation.critic_steps": 1,
    "base.steps": 0,
    "base.chunk": 1,
    "validation.queries": 1,
    "validation.episodes": 1,
    "test.queries": 1,
    "test.episodes": 2,  # an interval needs two
    "test.unknown": 0,
}
SHARES = ("train.drop", "train.cross", "train.alone", "inner.first_order", "inner.multi_step")
SEEDS = 2**32  # from which on those of `jax.random.key` begin again


def check_numbers(config: ConfigDict, names: Collection[str] = ()) -> None:
    """Checks ways, shots, queries and episodes of all splits, steps, sizes, shares and seeds.

    Args:
      config: of a run.
      names: of the models that see the episodes; all of the run if there are none.

    Raises:
      ValueError: if one is impossible, or there may be no shot and a model is not told what classes
        are; names the key.
    """
    for key, number in LEAST.items():
        if (given := _at(config, key)) < number:
            raise ValueError(f"config.{key}={given} must be {number} or more")
    for key in SHARES:
        if not 0 <= (given := _at(config, key)) <= 1:
            raise ValueError(f"config.{key}={given} is a share: from 0 to 1")
    if config.seed + config.seeds > SEEDS:
        raise ValueError(f"config.seed={config.seed} must be below {SEEDS}, with config.seeds")
    if not 0 <= (risk := config.test.risk) < 1:
        raise ValueError(f"config.test.risk is a share of answers, from 0 to below 1, not {risk}")
    curve = config.generation.curve
    if not all(number.isdecimal() for number in parse_names(curve)):
        raise ValueError(f"config.generation.curve={curve} must be numbers of rows, as 0,1,5")
    settings = config.test.settings
    if not settings or not all(map(_is_setting, settings)):
        raise ValueError(
            f"config.test.settings={settings} must be pairs of ways and shots, one or more, as "
            "((5, 1), (5, 5)), or ((5, 1),) for one"
        )
    untold = [
        name
        for name, variant in models(config).items()
        if name in (names or (name,)) and not is_told(variant)
    ]
    for split, settings in episode_settings(config).items():
        for one in settings:
            _check_setting(f"config.{split}", one["ways"], one["shots"], untold)


def _at(config: ConfigDict, key: str) -> float:
    return reduce(getitem, key.split("."), config)


def _is_setting(one: object) -> bool:
    """Whether it is ways and shots, as (5, 1) or (5, (1, 3))."""
    if not isinstance(one, Sequence) or len(one) != 2:
        return False
    ways, shots = one
    return type(ways) is int and _are_shots(shots)


def _are_shots(shots: object) -> bool:
    """Whether it is a whole number, or two."""
    ends = shots if isinstance(shots, Sequence) and len(shots) == 2 else [shots]
    return all(type(number) is int for number in ends)


def _check_setting(
    where: str, ways: int, shots: int | tuple[int, int], untold: Collection[str]
) -> None:
    low, high = np.broadcast_to(shots, 2) if _are_shots(shots) else (-1, -1)
    if ways < 1 or not 0 <= low <= high:
        raise ValueError(
            f"{where} asks for {ways} ways and {shots} shots: ask for 1 way or more, and for shots "
            "as 5, or few to many as (1, 3); --settings 5x1-3 says it of a test"
        )
    if low == 0 and untold:
        raise ValueError(
            f"{where} asks for 0 shots, from which {', '.join(untold)} cannot know a class: ask "
            "for 1 or more, or only models that are told class descriptions, of the learners "
            f"{', '.join(TOLD)}, or {' and '.join(GENERATE)} where config.generation.condition is "
            "side or both"
        )
