"""Trains the generator of a run again from several seeds at once, and tells how alike they end.

    python -m experiments.stability --workdir RUN [--model NAME] [--seeds 5]

RUN is the work directory of a run that has a model of the learner hallucinate. Prints for each
seed the accuracy on validation and what became of its critic, and the mean and spread of those
seeds whose critic did not diverge; the others are named.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from experiments import build, compiled, devices, fitting, jobs
from experiments.evaluate import load_config
from experiments.names import as_path, check_name, count
from fsjax.data.pool import make_pool
from fsjax.data.table import Table
from fsjax.training.seeds import intact, stack, train_seeds, unstack
from fsjax.types import Params, Pool

# Of the mean over the last tenth of steps. The penalty wants a slope of one, and a critic that
# scores synthetic rows above real ones has lost sight of both.
SLOPES, LEAST_DISTANCE = (0.5, 2.0), -1.0


class Seed(NamedTuple):
    """How the training of one seed ended."""

    accuracy: float  # on validation
    distance: float  # of the critic
    slope: float
    trouble: str  # nothing, or what is wrong


def trouble(finite: bool, distance: float, slope: float) -> str:
    """What is wrong with a critic, nothing if it converged."""
    if not finite:
        return "not finite"
    if not SLOPES[0] <= slope <= SLOPES[1]:
        return f"slope outside {SLOPES[0]} to {SLOPES[1]}"
    return f"distance below {LEAST_DISTANCE}" if distance < LEAST_DISTANCE else ""


def run_seeds(config: ConfigDict, workdir: Path, seeds: int) -> list[Seed]:
    """Trains a model of a run from seeds 0, 1, 2 ... as one program.

    Args:
      config: of the model.
      workdir: of the run, whose base network is used if it has one.
      seeds: how many.

    Raises:
      ValueError: if the model has no critic that is trained, or the base was not trained.
    """
    with_critic = config.generation.generator in build.CRITICS
    if config.learner not in build.GENERATE or not with_critic:
        raise ValueError(
            "only a generator with a critic can be tried: of the learners "
            f"{', '.join(build.GENERATE)} and the generators {', '.join(build.CRITICS)}, not "
            f"{config.learner} and {config.generation.generator}"
        )
    if not config.train.steps or config.objective not in ("own", "generation"):
        raise ValueError(
            f"config.objective={config.objective!r} in config.train.steps={config.train.steps} "
            "trains no critic: try a model of the objective own or generation, of one step or more"
        )
    parts = build.tables(config)
    train, network = _base(config, parts["train"], workdir)

    def prepared(seed: int) -> jobs.Job:
        variant = config.copy_and_resolve_references()
        variant.seed = seed
        return jobs.prepare(variant, train, network)

    job = prepared(0)
    states, metrics = train_seeds(
        stack([job.state, *(prepared(seed).state for seed in range(1, seeds))]),
        sample=job.training.sample,
        objective=job.training.objective,
        optimizer=job.optimizer,
        num_steps=config.train.steps,
    )
    finite = np.asarray(intact(states, metrics))
    last = max(config.train.steps // 10, 1)
    distance, slope = (
        np.asarray(metrics[f"generator_{name}"])[:, -last:].mean(1)
        for name in ("distance", "slope")
    )
    validation = devices.everywhere(config, make_pool(parts["validation"]))
    measure = fitting.validates(job, validation)
    found = [measure(state)[1] for state in unstack(states)]
    return [
        Seed(a, float(d), float(s), trouble(bool(f), float(d), float(s)))
        for a, d, s, f in zip(found, distance, slope, finite, strict=True)
    ]


def _base(config: ConfigDict, train: Table, workdir: Path) -> tuple[Pool, Params | None]:
    """The classes that train the models of a run, and the network that they share, if any."""
    if not config.base.steps:
        return make_pool(train), None
    first, others = map(make_pool, build.base_tables(config, train))
    job = jobs.prepare(build.base(config), first)
    return others, fitting.trained_params(job, workdir / "base")["network"]


def main(argv: Sequence[str] | None = None) -> None:
    """Trains the seeds that the arguments ask for and prints how they ended."""
    parser = argparse.ArgumentParser(prog="python -m experiments.stability", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--workdir", type=as_path, required=True, help="of a run that was trained")
    parser.add_argument("--model", default="hallucinate", help="one of the run's")
    parser.add_argument("--seeds", type=count, default=5)
    args = parser.parse_args(argv)
    compiled.keep()
    try:
        trained = load_config(args.workdir)
        devices.cores_as_devices(trained)
        variants = build.models(trained)
        check_name(variants, args.model, "--model")
        ended = run_seeds(variants[args.model], args.workdir, args.seeds)
    except ValueError as error:
        raise SystemExit(f"{parser.prog}: {error}") from error
    for seed, one in enumerate(ended):
        print(
            f"seed {seed}: validation {one.accuracy:.1%}, distance {one.distance:.2f}, "
            f"slope {one.slope:.2f}{', DIVERGED: ' * bool(one.trouble)}{one.trouble}"
        )
    kept = [one.accuracy for one in ended if not one.trouble]
    if kept:
        spread = f"{np.mean(kept):.1%}, standard deviation {np.std(kept):.1%}"
        print(f"{len(kept)} of {len(ended)} seeds converged: validation {spread}")
    else:
        print("no seed converged")


if __name__ == "__main__":
    main()
