"""Trains the models of a config, evaluates them on the same test episodes and reports.

    python -m experiments.train [--config FILE] [--config.key=value ...] [--workdir DIR]

Run again with the same work directory, it resumes where it was.
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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
    inputs,
    inspection,
    jobs,
    report,
    results,
    scoring,
)
from experiments.progress import Board
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
    params = jobs.train(job, pools["validation"], workdir / "models" / name, progress)
    params = jobs.chosen(job, params, pools["validation"])
    scored = scoring.Scored(name, variant, job.model, params, pools)
    lines = scoring.test(scored, workdir)
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
) -> tuple[Params, Mapping[str, Pool]]:
    """Trains the network at whose features all models are trained: -> it, and their pools."""
    for name, variant in build.models(config).items():
        if variant.train.steps:
            jobs.check_base(config, name)
    alone = build.base(config)
    parts = build.base_tables(config, train)
    first, others = (devices.everywhere(config, make_pool(part)) for part in parts)
    progress = board.add("base", alone.train.steps)
    params = jobs.train(jobs.prepare(alone, first), pools["validation"], workdir / "base", progress)
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


def train(config: ConfigDict, workdir: Path) -> list[dict[str, Any]]:
    """The whole job in a work directory: train, evaluate, compare, report; resumes if begun.

    Args:
      config: as in `experiments/configs`.
      workdir: checkpoints, results and the report go there.

    Returns:
      The lines of results.jsonl.

    Raises:
      ValueError: if config and data do not fit, a checkpoint is damaged or of another config.
      SystemExit: if the directory cannot be written or holds a run of another config.
    """
    log = workdir / "results.jsonl"
    names = list(build.models(config))
    tables = build.tables(config)
    results.open_workdir(workdir, results.plain(config))
    inputs.note(workdir, tables["train"])
    pools = {s: devices.everywhere(config, make_pool(part)) for s, part in tables.items()}
    settings = {"config": config, "tables": tables, "pools": pools, "workdir": workdir}
    with Board() as board, ThreadPoolExecutor(workers(config)) as threads:
        if config.base.steps:
            base, pools = with_base(config, tables["train"], pools, workdir, board)
            settings |= {"base": base, "pools": pools}
        tested = []
        for lines in threads.map(partial(run_model, board=board, **settings), names):
            results.append_new(log, lines)
            tested += lines
    results.append_new(log, scoring.compare(names, config, workdir))
    results.append_new(log, conditions.compare(names, config, tested, workdir))
    report.write_report([workdir], workdir / "report.html")
    return results.read_lines(log)


def main(argv: Sequence[str]) -> None:
    """Runs the job that the flags ask for and prints its results."""
    start = time.perf_counter()
    workdir = Path(WORKDIR.value or f"runs/{datetime.now():%Y-%m-%d_%H-%M-%S}")
    devices.cores_as_devices(command.CONFIG.value)
    print(table(train(command.CONFIG.value, workdir)))
    print(f"\n{workdir / 'report.html'} ({(time.perf_counter() - start) / 60:.1f} minutes)")


if __name__ == "__main__":
    command.run(main)
