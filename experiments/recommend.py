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
    scoring,
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

    model: str  # the most accurate on validation, of the inductive ones if there are any
    equals: tuple[str, ...]  # those whose difference to it may be zero
    lines: list[Line]  # as those of results.jsonl: accuracies, and differences to that model
    no_rivals: tuple[str, ...] = ()  # transductive ones, beside those that are not

    def __str__(self):
        alike, no_rivals = ", ".join(self.equals), ", ".join(self.no_rivals)
        above = ": it is above all others by their intervals."
        why = f"; these episodes do not tell it from {alike}." if alike else above
        beside = f" Transductive, and so no rivals: {no_rivals}." if no_rivals else ""
        return f"Use {self.model}{why}{beside}"


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


class Validated(NamedTuple):
    """What validation tells of a model."""

    accuracy: np.ndarray  # [E] of each episode
    transductive: bool


def _validated(name: str, run: train.Begun) -> Validated:
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
    scored = scored._replace(pools={"validation": rows})
    return Validated(np.asarray(found), scoring.transductive(scored, "validation"))


def _choose(config: ConfigDict, found: Mapping[str, Validated]) -> Recommendation:
    setting = dealer.episode_settings(config)["validation"][0]
    shared = {"data": config.data.name, "split": "validation", "seed": config.seed, **setting}
    shared |= {"apart": config.apart, "episodes": config.test.episodes}
    lines, variants = [], build.models(config)
    for name, (accuracy_of, transductive) in found.items():
        mean, half = mean_ci95(accuracy_of)
        line = {"kind": "result", "model": name, **shared, "accuracy": mean, "ci95": half}
        line["modalities"] = list(parse_names(variants[name].modalities))
        line["transductive"] = transductive
        lines.append(line | {"steps": variants[name].train.steps})
    best = max(found, key=lambda name: (not found[name].transductive, found[name].accuracy.mean()))
    no_rivals = [name for name in found if found[name].transductive > found[best].transductive]
    equals = []
    for name in found:
        if name == best:
            continue
        mean, half = paired_difference(found[best].accuracy, found[name].accuracy)
        line = {"kind": "comparison", "model": best, "against": name, **shared}
        lines.append(line | {"difference": mean, "ci95": half})
        if mean <= half and name not in no_rivals:
            equals.append(name)
    return Recommendation(best, tuple(equals), lines, tuple(no_rivals))


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
