"""Trains the models of a config, evaluates them on the same test episodes and reports.

    python -m experiments.train [--config FILE] [--config.key=value ...] [--workdir DIR]

Run again with the same work directory, it resumes where it was.
"""

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from absl import flags

from experiments import build, command, inspection, jobs, report, results
from experiments.progress import Progress
from fsjax.data.pool import make_pool

CONFIG = command.define_config()
WORKDIR = flags.DEFINE_string("workdir", None, "Where results go; runs/DATE by default.")


def main(argv: Sequence[str]) -> None:
    """The whole job: train, evaluate, compare, report."""
    start = time.perf_counter()
    config = CONFIG.value
    workdir = Path(WORKDIR.value or f"runs/{datetime.now():%Y-%m-%d_%H-%M-%S}")
    variants = build.models(config)
    tables = build.tables(config)
    results.open_workdir(workdir, results.plain(config))
    pools = {split: make_pool(part) for split, part in tables.items()}

    first, *others = variants
    for name, variant in variants.items():
        with Progress(name, variant.train.steps) as progress:
            model, params = jobs.train(variant, pools, workdir / "models" / name, progress)
        lines = jobs.test(name, variant, model, params, pools["test"], workdir)
        results.append_new(workdir / "results.jsonl", lines)
        if name == first:
            shown = inspection.inspect(variant, model, params, tables["test"])
            results.save_arrays(workdir / "inspection.npz", shown)
    comparisons = jobs.compare(first, others, config, workdir)
    results.append_new(workdir / "results.jsonl", comparisons)
    report.write_report([workdir], workdir / "report.html")
    print(report.table(results.read_lines(workdir / "results.jsonl")))
    print(f"{workdir / 'report.html'} ({(time.perf_counter() - start) / 60:.1f} minutes)")


if __name__ == "__main__":
    command.run(main)
