"""Trains the models of a config and says, from validation classes alone, which one to use.

    python -m experiments.recommend [--config FILE] [--config.key=value ...] [--workdir DIR]
        [--dry-run]

With --dry-run it compiles the training of every model, tells memory and cost, and stops.

Candidates are the model configured and those of config.compare: fusions, modalities alone, heads,
learners. `python -m experiments.train` with the same config and work directory goes on with the
models from there, to the test classes.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments import (
    build,
    command,
    dealer,
    devices,
    dry_run,
    jobs,
    results,
    stopping,
    tables,
    train,
)
from experiments.names import parse_names
from experiments.runs import Line
from experiments.stopping import Stop
from fsjax.evaluation.figures import accuracy
from fsjax.evaluation.intervals import mean_ci95, paired_difference

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


def recommend(config: ConfigDict, workdir: Path | str, stop: Stop | None = None) -> Recommendation:
    """Trains the models of a config, or goes on with them, and compares them on validation.

    The accuracy of the best of many is a little too good: test it before you quote it.

    Args:
      config: as in `experiments/configs`; validation's ways, shots and queries, and as many
        episodes as a test has, the same for all models.
      workdir: of the run.
      stop: ends it between chunks when asked.

    Returns:
      What to use and why; also written to recommendation.jsonl.

    Raises:
      ValueError: if config and data do not fit, there is one model alone, there are several seeds,
        or another job uses the directory.
      SystemExit: if the directory cannot be written or holds a run of another config.
      Stopped: if it was stopped; run again, it goes on.
    """
    workdir, names = Path(workdir), list(build.models(config))
    if config.seeds > 1:
        raise ValueError("models are compared at one seed: set config.seeds to 1")
    if len(names) == 1:
        raise ValueError(
            f"there is {names[0]} alone to recommend: name candidates in config.compare, as in "
            "concat,late,image"
        )
    with train.begin(config, workdir, stop or Stop()) as run:
        run = run._replace(pools={s: run.pools[s] for s in ("train", "validation")})
        chosen = _choose(config, dict(train.of_models(partial(_validated, run=run), run)))
        results.write_lines(workdir / "recommendation.jsonl", chosen.lines)
    return chosen


def _validated(name: str, run: train.Begun) -> np.ndarray:
    """The accuracy of a model in each episode: [E]."""
    scored, progress = train.fitted(name, run)
    config, model = scored.config, scored.model
    _, rows = jobs.prepared(model, scored.params, run.pools["validation"])
    setting = dealer.episode_settings(config)["validation"][0]
    how = {"num_episodes": config.test.episodes, "figures": (accuracy,)}
    episodes = jobs.evaluator(model, config, **how)
    sample = dealer.episodes(config, rows, **setting)
    found = episodes(scored.params, jax.random.key(RECOMMENDATION_KEY), sample)["accuracy"]
    mean, half = mean_ci95(found)
    progress.say(f"{100 * mean:.1f} ± {100 * half:.1f} % on validation")
    return np.asarray(found)


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
    workdir = train.chosen_workdir()
    devices.cores_as_devices(command.CONFIG.value)
    if train.DRY_RUN.value:
        print(dry_run.plan(command.CONFIG.value))
        return
    with stopping.tidily(workdir) as stop:
        chosen = recommend(command.CONFIG.value, workdir, stop)
    print(f"{tables.table(chosen.lines)}\n\n{chosen}")


if __name__ == "__main__":
    command.run(main)
