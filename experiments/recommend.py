"""Trains the models of a config and says, from validation classes alone, which one to use.

    python -m experiments.recommend [--config FILE] [--config.key=value ...] [--workdir DIR]

Candidates are the model configured and those of config.compare: fusions, modalities alone, heads,
learners. `python -m experiments.train` with the same config and work directory goes on with the
models from there, to the test classes.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments import build, command, dealer, devices, jobs, results, tables, train
from experiments.names import parse_names
from experiments.progress import Board
from experiments.runs import Line
from fsjax.evaluation.figures import accuracy
from fsjax.evaluation.intervals import mean_ci95, paired_difference
from fsjax.types import Pool

# Other episodes than those by which each model's best step was chosen.
RECOMMENDATION_KEY = 505


class Recommendation(NamedTuple):
    """Which of several models to use."""

    model: str  # the most accurate on validation
    equals: tuple[str, ...]  # those whose difference to it may be zero
    lines: list[Line]  # as those of results.jsonl: accuracies, and differences to that model

    def __str__(self):
        if not self.equals:
            return f"Use {self.model}: it is above all others by their intervals."
        others = ", ".join(self.equals)
        return f"Use {self.model}; these episodes do not tell it from {others}."


def recommend(config: ConfigDict, workdir: Path) -> Recommendation:
    """Trains the models of a config, or goes on with them, and compares them on validation.

    The accuracy of the best of many is a little too good: test it before you quote it.

    Args:
      config: as in `experiments/configs`; validation's ways, shots and queries, and as many
        episodes as a test has, the same for all models.
      workdir: of the run.

    Returns:
      What to use and why; also written to recommendation.jsonl.

    Raises:
      ValueError: if config and data do not fit, or there is one model alone.
      SystemExit: if the directory cannot be written or holds a run of another config.
    """
    names = list(build.models(config))
    if len(names) == 1:
        raise ValueError(
            f"there is {names[0]} alone to recommend: name candidates in config.compare, as in "
            "concat,late,image"
        )
    with Board() as board, ThreadPoolExecutor(train.workers(config)) as threads:
        begun = train.begin(config, workdir, board)
        pools = {split: begun["pools"][split] for split in ("train", "validation")}
        found = threads.map(partial(_validated, **begun | {"pools": pools}), names)
        accuracies = dict(zip(names, found, strict=True))
    chosen = _choose(config, accuracies)
    results.write_lines(workdir / "recommendation.jsonl", chosen.lines)
    return chosen


def _validated(
    name: str,
    *,
    config: ConfigDict,
    pools: Mapping[str, Pool],
    workdir: Path,
    board: Board,
    **begun: Any,
) -> np.ndarray:
    """The accuracy of a model in each episode: [E]."""
    variant = build.models(config)[name]
    progress = board.add(name, variant.train.steps)
    how = {"config": config, "pools": pools, "workdir": workdir, "base": begun.get("base")}
    scored = train.fitted(name, progress=progress, **how)
    _, rows = jobs.prepared(scored.model, scored.params, pools["validation"])
    setting = dealer.episode_settings(config)["validation"][0]
    how = {"num_episodes": config.test.episodes, "figures": (accuracy,)}
    episodes = jobs.evaluator(scored.model, variant, **how)
    sample = dealer.episodes(config, rows, **setting)
    found = np.asarray(
        episodes(scored.params, jax.random.key(RECOMMENDATION_KEY), sample)["accuracy"]
    )
    mean, half = mean_ci95(found)
    progress.say(f"{100 * mean:.1f} ± {100 * half:.1f} % on validation")
    return found


def _choose(config: ConfigDict, accuracies: Mapping[str, np.ndarray]) -> Recommendation:
    setting = dealer.episode_settings(config)["validation"][0]
    shared = {"data": config.data.name, "split": "validation", "seed": config.seed, **setting}
    shared |= {"apart": config.apart, "episodes": config.test.episodes}
    lines, variants = [], build.models(config)
    for name, found in accuracies.items():
        mean, half = mean_ci95(found)
        line = {"kind": "result", "model": name, **shared, "accuracy": mean, "ci95": half}
        line["modalities"] = list(parse_names(variants[name].modalities))
        lines.append(line | {"steps": variants[name].train.steps})
    best = max(accuracies, key=lambda name: accuracies[name].mean())
    equals = []
    for name in accuracies:
        if name == best:
            continue
        mean, half = paired_difference(accuracies[best], accuracies[name])
        line = {"kind": "comparison", "model": best, "against": name, **shared}
        lines.append(line | {"difference": mean, "ci95": half})
        if mean <= half:
            equals.append(name)
    return Recommendation(best, tuple(equals), lines)


def main(argv: Sequence[str]) -> None:
    """Compares the models that the flags name and prints what to use."""
    devices.cores_as_devices(command.CONFIG.value)
    chosen = recommend(command.CONFIG.value, train.chosen_workdir())
    print(f"{tables.table(chosen.lines)}\n\n{chosen}")


if __name__ == "__main__":
    command.run(main)
