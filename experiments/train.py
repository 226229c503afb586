"""Trains the models of a config, evaluates them on the same test episodes and reports.

    python -m experiments.train [--config FILE] [--config.key=value ...] [--workdir DIR] [--dry-run]

With --dry-run it compiles the training of every model, tells memory and cost, and stops.

Run again with the same work directory, it resumes where it was. SIGTERM and SIGUSR1 let the
running chunk end and save it, and the command ends with the code 75: run me again. Ctrl-C does the
same with the code 130, and pressed again it ends at once.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from absl import flags
from ml_collections import ConfigDict

from experiments import (
    build,
    command,
    comparing,
    conditions,
    devices,
    dividing,
    dry_run,
    fitting,
    hosts,
    inputs,
    inspection,
    jobs,
    lock,
    report,
    results,
    scoring,
    seeds,
    stopping,
    teaching,
)
from experiments.names import as_path
from experiments.progress import Board, Progress
from experiments.stopping import Stop
from experiments.tables import table
from fsjax.data.pool import make_pool
from fsjax.data.table import Table
from fsjax.types import Params, Pool

Result = TypeVar("Result")
WORKDIR = flags.DEFINE_string("workdir", None, "Where results go; runs/DATE by default.")
DRY_RUN = flags.DEFINE_bool("dry-run", False, "Compile, tell memory and cost, and stop.")


class Begun(NamedTuple):
    """A run whose data have been read."""

    config: ConfigDict
    workdir: Path
    order: Sequence[Sequence[str]]  # models, those that teach others before them
    threads: int  # in which they are trained
    tables: Mapping[str, Table]
    pools: Mapping[str, Pool]
    base: Params | None  # of the network at whose features all models are trained, if there is one
    board: Board
    stop: Stop


@contextmanager
def begin(config: ConfigDict, workdir: Path, stop: Stop) -> Iterator[Begun]:
    """Reads the data and holds the work directory.

    Raises:
      ValueError: if config and data do not fit, or another job uses the directory.
      SystemExit: if the directory cannot be written or holds a run of another config.
      Stopped: if it was stopped while it trained a base.
    """
    order, threads = teaching.in_order(config), devices.workers(config)
    data = build.prepared(config)
    jobs.check_models(config)
    tables = data.tables
    with lock.held(workdir), Board(quiet=not hosts.is_first()) as board:
        results.open_workdir(workdir, results.plain(config))
        inputs.note(workdir, build.seen_by_models(config, data))
        pools = {s: devices.everywhere(config, make_pool(tables[s])) for s in build.HELD_OUT}
        pools["train"] = dividing.training_pool(config, tables["train"])
        teaching.check_trained(config, pools["train"])
        run = Begun(config, workdir, order, threads, tables, pools, None, board, stop)
        yield _with_base(run) if config.base.steps else run


def _with_base(run: Begun) -> Begun:
    """Trains the network at whose features all models are trained."""
    config, folder = run.config, run.workdir / "base"
    jobs.check_base(config)
    alone = build.base(config)
    parts = build.base_tables(config, run.tables["train"])
    first, others = (devices.everywhere(config, make_pool(part)) for part in parts)
    progress, after = run.board.add("base", alone.train.steps), [run.stop.after_chunk]
    job = jobs.prepare(alone, first)
    params = fitting.train(job, run.pools["validation"], folder, progress, after)
    return run._replace(base=params["network"], pools={**run.pools, "train": others})


def of_models(function: Callable[[str], Result], run: Begun) -> Iterator[tuple[str, Result]]:
    """What a function makes of the name of each model of a run, teachers before their students.

    Raises:
      Stopped: if the run was stopped.
    """
    for together in run.order:
        made = stopping.side_by_side(function, together, threads=run.threads, stop=run.stop)
        yield from zip(together, made, strict=True)


def run_model(name: str, run: Begun) -> list[dict[str, Any]]:
    """Trains, evaluates and inspects one of the models of a run: -> its results.

    What they are is kept in the model's folder, so that a run that is resumed does not test again.
    """
    folder = run.workdir / "models" / name
    done, tested = folder / "results.jsonl", folder / "tested.jsonl"
    if lines := hosts.told(results.read_lines(done)):
        return lines
    scored, progress = fitted(name, run)
    lines = hosts.told(results.read_lines(tested)) or scoring.test(scored, run.workdir)
    results.write_lines(tested, lines)
    run.stop.check()
    lines += conditions.test(scored, lines, run.workdir)
    if name == next(iter(build.models(run.config))):
        shown = inspection.inspect(scored.config, scored.model, scored.params, run.tables["test"])
        results.save_arrays(run.workdir / "inspection.npz", shown)
    results.write_lines(done, lines)
    told = [results.summary(line) for line in lines if line["kind"] == "result"]
    progress.say(", ".join(told))
    return lines


def fitted(name: str, run: Begun) -> tuple[scoring.Scored, Progress]:
    """Trains one of the models of a run, or goes on with it.

    It learns a network of its own unless the run has a base.
    """
    variant = build.models(run.config)[name]
    progress = run.board.add(name, variant.train.steps)
    base = run.base if variant.train.steps else None  # what is not trained has no use for it
    teacher = teaching.teacher_of(run.config, name, run.pools, run.workdir)
    job = jobs.prepare(variant, run.pools["train"], base, teacher)
    jobs.rehearse(job, {split: run.pools[split] for split in run.pools if split != "train"})
    run.stop.check()
    folder, after = run.workdir / "models" / name, [run.stop.after_chunk]
    params = fitting.train(job, run.pools["validation"], folder, progress, after)
    params = jobs.chosen(variant, job.model, params, run.pools["validation"])
    return scoring.Scored(name, variant, job.model, params, run.pools), progress


def train(
    config: ConfigDict, workdir: Path | str, stop: Stop | None = None
) -> list[dict[str, Any]]:
    """The whole job in a work directory: train, evaluate, compare, report; resumes if begun.

    Args:
      config: as in `experiments/configs`.
      workdir: checkpoints, results and the report go there.
      stop: ends it between chunks when asked.

    Returns:
      The lines of results.jsonl.

    Raises:
      ValueError: if config and data do not fit, checkpoints are damaged or of another config, or
        another job uses the directory.
      SystemExit: if the directory cannot be written or holds a run of another config.
      Stopped: if it was stopped; run again, it goes on.
    """
    workdir, stop = Path(workdir), Stop(stop)  # of its own: a failure stops no other run
    return _all_seeds(config, workdir, stop) if config.seeds > 1 else _one(config, workdir, stop)


def _one(config: ConfigDict, workdir: Path, stop: Stop) -> list[dict[str, Any]]:
    log, names = workdir / "results.jsonl", list(build.models(config))
    with begin(config, workdir, stop) as run:
        tested = []
        for _, lines in of_models(partial(run_model, run=run), run):
            results.append_new(log, lines)
            tested += lines
        if hosts.is_first():
            results.append_new(log, comparing.compare(names, config, workdir))
            results.append_new(log, conditions.compare(names, config, tested, workdir))
            report.write_report([workdir], workdir / "report.html")
        return hosts.told(results.read_lines(log))


def _all_seeds(config: ConfigDict, workdir: Path, stop: Stop) -> list[dict[str, Any]]:
    """Trains all seeds together, and tests each as a run of its own."""
    seeds.check(config)
    each, models = seeds.folders(config), build.models(config)
    with begin(config, workdir, stop) as run:

        def fit(name: str) -> dict[str, float]:
            progress = run.board.add(name, models[name].train.steps)
            return seeds.fit(name, config, run.pools, workdir, progress, [stop.after_chunk])

        validated = dict(of_models(fit, run))
    found = [_one(one, workdir / folder, stop) for folder, one in each.items()]
    first = next(validated[name] for name in models if validated[name])
    best = seeds.link_best(workdir, first)
    if hosts.is_first():
        report.write_report([workdir], workdir / "report.html")
        print(f"best on validation: {best}, {first[best]:.1%}")
    return [line for lines in found for line in lines]


def chosen_workdir() -> Path:
    """The work directory that the flags name, or one by the date."""
    return as_path(WORKDIR.value or f"runs/{datetime.now():%Y-%m-%d_%H-%M-%S}")


def main(argv: Sequence[str]) -> None:
    """Runs the job that the flags ask for and prints its results."""
    start = time.perf_counter()
    workdir = chosen_workdir()
    devices.cores_as_devices(command.CONFIG.value)
    hosts.join()
    if DRY_RUN.value:
        print(dry_run.plan(command.CONFIG.value))
        return
    with stopping.tidily(workdir) as stop, hosts.folder(workdir) as ours:
        lines = train(command.CONFIG.value, ours, stop)
    if hosts.is_first():
        print(table(lines))
        print(f"\n{workdir / 'report.html'} ({(time.perf_counter() - start) / 60:.1f} minutes)")


if __name__ == "__main__":
    command.run(main)
