"""Trains the models of a config, evaluates them on the same test episodes and reports.

    python -m experiments.train [--config FILE] [--config.key=value ...] [--workdir DIR] [--dry-run]

With --dry-run it compiles the training of every model, tells memory and cost, and stops.

Run again with the same work directory, it resumes where it was. SIGTERM and SIGUSR1 let the
running chunk end and save it, and the command ends with the code 75: run me again. Ctrl-C does the
same with the code 130, and pressed again it ends at once.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import jax
from absl import flags
from ml_collections import ConfigDict

from experiments import (
    build,
    command,
    conditions,
    devices,
    dry_run,
    inputs,
    inspection,
    jobs,
    lock,
    report,
    results,
    scoring,
    stopping,
)
from experiments.progress import Board
from experiments.stopping import Stop, Stopped
from experiments.tables import table
from fsjax.data.pool import make_pool
from fsjax.data.table import Table
from fsjax.types import Params, Pool

WORKDIR = flags.DEFINE_string("workdir", None, "Where results go; runs/DATE by default.")


def run_model(
    name: str,
    *,
    config: ConfigDict,
    tables: Mapping[str, Table],
    pools: Mapping[str, Pool],
    workdir: Path,
    board: Board,
    stop: Stop,
    base: Params | None = None,
) -> list[dict[str, Any]]:
    """Trains, evaluates and inspects one of the models of a run: -> its results.

    It learns a network of its own unless the parameters of one are given. What the results are is
    kept in the model's folder, so that a run that is resumed does not test again.
    """
    done = workdir / "models" / name / "results.jsonl"
    if done.exists():
        return results.read_lines(done)
    variant = build.models(config)[name]
    progress = board.add(name, variant.train.steps)
    fitting = base if variant.train.steps else None  # what is not trained has no use for it
    job = jobs.prepare(variant, pools["train"], fitting)
    jobs.rehearse(job, {split: pools[split] for split in ("validation", "test")})
    stop.check()
    folder, after = workdir / "models" / name, [stop.after_chunk]
    params = jobs.train(job, pools["validation"], folder, progress, after)
    scored = scoring.Scored(name, variant, job.model, params, pools)
    lines = scoring.test(scored, workdir)
    stop.check()
    lines += conditions.test(scored, lines, workdir)
    if name == next(iter(build.models(config))):
        shown = inspection.inspect(variant, job.model, params, tables["test"])
        results.save_arrays(workdir / "inspection.npz", shown)
    results.write_lines(done, lines)
    told = [results.summary(line) for line in lines if line["kind"] == "result"]
    progress.say(", ".join(told))
    return lines


def with_base(
    config: ConfigDict,
    train: Table,
    pools: Mapping[str, Pool],
    workdir: Path,
    board: Board,
    stop: Stop,
) -> tuple[Params, Mapping[str, Pool]]:
    """Trains the network at whose features all models are trained: -> it, and their pools."""
    for name, variant in build.models(config).items():
        if variant.train.steps:
            jobs.check_base(config, name)
    alone = build.base(config)
    parts = build.base_tables(config, train)
    first, others = (devices.everywhere(config, make_pool(part)) for part in parts)
    progress = board.add("base", alone.train.steps)
    job, after = jobs.prepare(alone, first), [stop.after_chunk]
    params = jobs.train(job, pools["validation"], workdir / "base", progress, after)
    return params["network"], {**pools, "train": others}


def workers(config: ConfigDict) -> int:
    """Models trained side by side: two that share a CPU, else one.

    Raises:
      ValueError: if several were to wait for each other's devices.
    """
    alone = devices.mesh(config) is not None or jax.default_backend() != "cpu"
    if config.workers > 1 and devices.mesh(config) is not None:
        raise ValueError(
            f"config.workers={config.workers} models side by side cannot share several devices; "
            "set config.workers=1 or config.devices=1"
        )
    return config.workers or (1 if alone else 2)


def train(config: ConfigDict, workdir: Path, stop: Stop | None = None) -> list[dict[str, Any]]:
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
    tables = build.tables(config)
    with lock.held(workdir):
        return _train(config, workdir, tables, stop or Stop())


def _train(
    config: ConfigDict, workdir: Path, tables: Mapping[str, Table], stop: Stop
) -> list[dict[str, Any]]:
    log = workdir / "results.jsonl"
    names = list(build.models(config))
    results.open_workdir(workdir, results.plain(config))
    inputs.note(workdir, tables["train"])
    pools = {s: devices.everywhere(config, make_pool(part)) for s, part in tables.items()}
    settings = {"config": config, "tables": tables, "pools": pools, "workdir": workdir}
    number = workers(config)
    with Board() as board:
        if config.base.steps:
            base, pools = with_base(config, tables["train"], pools, workdir, board, stop)
            settings |= {"base": base, "pools": pools}
        one = partial(run_model, board=board, stop=stop, **settings)
        tested = []
        for lines in stopping.side_by_side(one, names, threads=number, stop=stop):
            results.append_new(log, lines)
            tested += lines
    results.append_new(log, scoring.compare(names, config, workdir))
    results.append_new(log, conditions.compare(names, config, tested, workdir))
    report.write_report([workdir], workdir / "report.html")
    return results.read_lines(log)


DRY_RUN = flags.DEFINE_bool("dry-run", False, "Compile, tell memory and cost, and stop.")


def main(argv: Sequence[str]) -> None:
    """Runs the job that the flags ask for and prints its results."""
    start = time.perf_counter()
    workdir = Path(WORKDIR.value or f"runs/{datetime.now():%Y-%m-%d_%H-%M-%S}")
    devices.cores_as_devices(command.CONFIG.value)
    if DRY_RUN.value:
        print(dry_run.plan(command.CONFIG.value))
        return
    with stopping.on_signals() as stop:
        try:
            lines = train(command.CONFIG.value, workdir, stop)
        except Stopped:
            stopping.leave(stop, workdir)
    print(table(lines))
    print(f"\n{workdir / 'report.html'} ({(time.perf_counter() - start) / 60:.1f} minutes)")


if __name__ == "__main__":
    command.run(main)
