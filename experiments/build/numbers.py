"""Whether the numbers of a config are such that there are episodes, and steps that end."""

from collections.abc import Collection, Sequence

from ml_collections import ConfigDict

from experiments.build.learners import TOLD, is_told
from experiments.build.parts import models
from experiments.dealer import episode_settings

LEAST = {
    # Of queries there may be none where every row asks.
    "train": {"steps": 0, "chunk": 1, "tasks": 1, "rows": 1, "queries": 0, "patience": 0},
    "base": {"steps": 0, "chunk": 1},
    "validation": {"queries": 1, "episodes": 1},
    "test": {"queries": 1, "episodes": 2, "unknown": 0},  # an interval needs two episodes
}


def check_numbers(config: ConfigDict, names: Collection[str] = ()) -> None:
    """Checks the ways, shots, queries and episodes of all splits, the steps, and the risk.

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
    settings = config.test.settings
    if not settings or not all(isinstance(one, Sequence) and len(one) == 2 for one in settings):
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
