"""Whether the numbers that a config asks episodes with are such that there are episodes."""

from collections.abc import Collection

from ml_collections import ConfigDict

from experiments.build.learners import TOLD, is_told
from experiments.build.parts import models
from experiments.dealer import episode_settings

LEAST = {
    "train": {"queries": 0},  # where every row asks there may be none
    "validation": {"queries": 1, "episodes": 1},
    "test": {"queries": 1, "episodes": 2, "unknown": 0},  # an interval needs two episodes
}


def check_numbers(config: ConfigDict, names: Collection[str] = ()) -> None:
    """Checks the ways, shots, queries and episodes of all splits, and the risk.

    Args:
      config: of a run.
      names: of the models that see the episodes; all of the run if there are none.

    Raises:
      ValueError: if one is impossible, or there may be no shot and a model is not told what classes
        are; names the key.
    """
    for split, least in LEAST.items():
        for key, number in least.items():
            if (given := config[split][key]) < number:
                raise ValueError(f"config.{split}.{key}={given} must be {number} or more")
    if not 0 <= (risk := config.test.risk) < 1:
        raise ValueError(f"config.test.risk is a share of answers, from 0 to below 1, not {risk}")
    untold = [
        name
        for name, variant in models(config).items()
        if name in (names or (name,)) and not is_told(variant)
    ]
    for split, settings in episode_settings(config).items():
        for one in settings:
            _check_setting(f"config.{split}", one["ways"], one["shots"], untold)


def _check_setting(
    where: str, ways: int, shots: int | tuple[int, int], untold: Collection[str]
) -> None:
    low, high = (shots, shots) if isinstance(shots, int) else shots
    if ways < 1 or not 0 <= low <= high:
        raise ValueError(
            f"{where} asks for {ways} ways and {shots} shots: ask for 1 way or more, and for shots "
            "as 5, or from few to many, as 1-3"
        )
    if low == 0 and untold:
        raise ValueError(
            f"{where} asks for 0 shots, from which {', '.join(untold)} cannot know a class: ask "
            "for 1 or more, or only models that are told class descriptions, of the learners "
            f"{', '.join(TOLD)}"
        )
