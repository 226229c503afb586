"""Runs configs over a grid of their values, one after the other, and reports all of them.

    python -m experiments.sweep --configs FILE ... [--grid KEY VALUE ...] [--set KEY VALUE]
        [--sample N] [--only K] [--list] --workdir DIR

Each run has a folder of its own in the work directory, and is gone on with if the command is given
again. In a SLURM array each task takes one run, the one that SLURM_ARRAY_TASK_ID counts from 0;
afterwards the same command outside of the array makes the report.
"""

import argparse
import ast
import inspect
import itertools
import os
import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging
from jax.errors import JaxRuntimeError
from ml_collections import ConfigDict

from experiments import compiled, devices, report, stopping, tables, train
from experiments.names import as_path
from experiments.runs import Run, merge, read_runs
from experiments.stopping import Stop
from fsjax.training.loop import Diverged

TASK = "SLURM_ARRAY_TASK_ID"
# What ends one run and no other; the one of jax is that its device has too little memory.
FAILURES = (ValueError, OSError, ImportError, JaxRuntimeError, Diverged, SystemExit)


class Planned(NamedTuple):
    """A run of a sweep."""

    name: str  # of its folder
    config: ConfigDict


def load(file: str) -> ConfigDict:
    """The config of a file; "FILE.py:NAME" gives the name to its get_config.

    Raises:
      ValueError: if there is no such file, or it has no get_config that takes just this name.
    """
    path, _, name = file.partition(":")
    try:
        make = runpy.run_path(path)["get_config"]
    except (OSError, KeyError) as error:
        raise ValueError(f"{path} is no config, a file with get_config(): {error}") from error
    given = (name,) if name else ()
    try:
        inspect.signature(make).bind(*given)
    except TypeError as error:
        mend = f"takes no name: write {path}" if name else f"wants a name: write {path}:NAME"
        raise ValueError(f"get_config of {file} {mend}") from error
    return make(*given)


def assign(config: ConfigDict, key: str, value: str) -> None:
    """Sets a key of a config, as in train.steps, to a value of the type that it has.

    Raises:
      ValueError: if there is no such key, or the value is of another type.
    """
    group, _, leaf = key.rpartition(".")
    part = config
    for name in group.split(".") if group else ():
        part = part.get(name)
        if not isinstance(part, ConfigDict):
            raise ValueError(f"the config has no key {key!r}")
    if leaf not in part or isinstance(part[leaf], ConfigDict):
        raise ValueError(f"the config has no key {key!r}")
    try:
        part[leaf] = value if isinstance(part[leaf], str) else ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError) as error:
        kind = type(part[leaf]).__name__
        raise ValueError(f"{key}={value} is not of the type {kind}") from error


def plan(
    files: Sequence[str],
    grid: Mapping[str, Sequence[str]],
    fixed: Mapping[str, str],
    sample: int | None = None,
) -> list[Planned]:
    """The runs of a sweep.

    Args:
      files: configs.
      grid: key -> the values it is to have, each with each of the other keys.
      fixed: key -> the value it has in all runs.
      sample: of each config only so many points of the grid, drawn with a fixed seed, as a random
        search (Bergstra & Bengio 2012, https://jmlr.org/papers/v13/bergstra12a.html).

    Raises:
      ValueError: if a config, a key, a value or the sample is wrong, or two runs would share a
        folder.
    """
    if sample is not None and sample < 1:
        raise ValueError(f"a sample of {sample} is no run: sample one or more points of the grid")
    points = list(itertools.product(*grid.values()))
    if sample is not None:
        drawn = np.random.default_rng(0).permutation(len(points))[:sample]
        points = [points[i] for i in sorted(drawn)]
    if not points:
        raise ValueError("there is no run: give each key of the grid a value")
    runs = []
    for file, point in itertools.product(files, points):
        config = load(file)
        for key, value in (*fixed.items(), *zip(grid, point, strict=True)):
            assign(config, key, value)
        stem = "-".join([Path(file.partition(":")[0]).stem, *file.split(":")[1:]])
        told = [f"{key}={value}".replace("/", "_") for key, value in zip(grid, point, strict=True)]
        runs.append(Planned("-".join([stem, *told]), config))
    names = [run.name for run in runs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"several runs would share the folder {twice[0]}: name each value once")
    return runs


def sweep(runs: Sequence[Planned], workdir: Path, stop: Stop | None = None) -> dict[str, str]:
    """Runs what is planned: -> name -> what went wrong, of those that did not come to their end.

    Raises:
      Stopped: if it was stopped; run again, it goes on.
    """
    failed = {}
    for run in runs:
        print(f"{run.name}:")
        try:
            train.train(run.config, workdir / run.name, stop)
        except FAILURES as error:
            failed[run.name] = str(error)
            print(f"{run.name} failed: {error}")
        jax.clear_caches()  # programs of other shapes, which would add up
    return failed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments.sweep", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--configs", nargs="+", required=True, help="config files")
    parser.add_argument(
        "--grid", nargs="+", action="append", default=[], help="a key and its values"
    )
    parser.add_argument(
        "--set", nargs=2, action="append", default=[], help="a key and its value, in all runs"
    )
    parser.add_argument("--sample", type=int, help="so many points of the grid, drawn at random")
    parser.add_argument("--only", type=int, help="one run alone, counted from 0")
    parser.add_argument("--list", action="store_true", help="say what would be run")
    parser.add_argument("--workdir", type=as_path, required=True, help="of all runs")
    return parser


def _check_once(keys: Sequence[str]) -> None:
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise ValueError(
            f"{twice[0]} is given twice: give it once, in --grid with all its values or in --set"
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Runs what the arguments ask for, prints the tables and writes the report."""
    logging.set_verbosity(logging.WARNING)
    compiled.keep()
    parser = _parser()
    args = parser.parse_args(argv)
    grid: dict[str, Any] = {key: values for key, *values in args.grid}
    try:
        _check_once([key for key, *_ in (*args.grid, *args.set)])
        runs = plan(args.configs, grid, dict(args.set), args.sample)
    except ValueError as error:
        raise SystemExit(f"{parser.prog}: {error}") from error
    only = args.only if args.only is not None else os.environ.get(TASK)
    if only is not None and not 0 <= int(only) < len(runs):
        raise SystemExit(f"{parser.prog}: there is no run {only}, they are 0 to {len(runs) - 1}")
    chosen = runs if only is None else [runs[int(only)]]
    if args.list:
        print("\n".join(f"{runs.index(run)}: {run.name}" for run in chosen))
        return
    devices.cores_as_devices(chosen[0].config)
    with stopping.tidily(args.workdir) as stop:
        failed = sweep(chosen, args.workdir, stop)
    if only is None:
        _report([args.workdir / run.name for run in runs if run.name not in failed], args.workdir)
    if failed:
        raise SystemExit(f"{len(failed)} of {len(chosen)} runs failed: {', '.join(failed)}")


def by_validation(runs: Sequence[Run]) -> list[str]:
    """A line of each run that validated, the best first: its best model on validation.

    That is what to choose by: test classes that have chosen are no longer unseen.
    """
    found = []
    for run in runs:
        reached = {m: max(line["validation"] for line in x) for m, x in run.metrics.items() if x}
        if reached:
            model = max(reached, key=reached.__getitem__)
            found.append((reached[model], f"{run.name}: {model} {reached[model]:.1%}"))
    return [told for _, told in sorted(found, key=lambda pair: -pair[0])]


def _report(folders: Sequence[Path], workdir: Path) -> None:
    if folders:
        runs = read_runs(folders)
        print(tables.table(merge(runs)))
        print("\n".join(["", "On validation, by which to choose:", *by_validation(runs)]))
        report.write_report(folders, workdir / "report.html")
        print(f"\n{workdir / 'report.html'}")


if __name__ == "__main__":
    main()
