"""All that is to be measured on an accelerator, within ten minutes of it.

    python -m experiments.benchmarks.accelerator --data FOLDER [--out DIR]

One after another: the quick bench, a training of prototypes on Omniglot (four figures, wanted in
60 s), and MAML of second order on Omniglot, 5-way 1-shot (98.5 wanted in 300 s). What a stage
prints is in the folder, with its run; one that is not done in time is stopped, and its run keeps
what it has. FOLDER has Omniglot's two zips and `omniglot_vinyals_split.json`.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.benchmarks.race import SPLITS
from experiments.runs import read_lines


class Stage(NamedTuple):
    """One of the things to be measured."""

    seconds: float  # that it may take
    command: Sequence[str]
    run: Path | None = None  # its work directory


def stages(data: Path, out: Path) -> dict[str, Stage]:
    """All of them, by name."""

    def training(name: str, seconds: float, config: str, *keys: str) -> Stage:
        run = out / name
        where = [f"--config.data.path={data}", f"--config.data.splits={data / SPLITS}"]
        config = f"--config=experiments/configs/{config}"
        return Stage(seconds, ["experiments.train", config, *where, *keys, f"--workdir={run}"], run)

    bench = ["experiments.bench", "--quick", f"--out={out / 'bench.json'}"]
    return {
        "bench": Stage(200, bench),
        "prototypes": training("prototypes", 90, "omniglot.py"),
        "maml": training("maml", 300, "omniglot_maml.py", "--config.encoders.image=conv4"),
    }


def measure(stage: Stage, log: Path) -> str:
    """Runs a stage, and says how long it took, how it ended and what came of it."""
    start = time.perf_counter()
    with log.open("w") as file:
        command = [sys.executable, "-m", *stage.command]
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        try:
            ended = {0: "done"}.get(process.wait(stage.seconds), "failed")
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()
            ended = "stopped"
    seconds = time.perf_counter() - start
    told = [f"{seconds:.0f} of {stage.seconds:.0f} s", f"{ended}, see {log}"]
    return "; ".join(told + (figures(stage.run) if stage.run else []))


def figures(run: Path) -> list[str]:
    """What a run has reached: its test results, or else the best validation so far."""
    lines = read_lines(run / "results.jsonl")
    found = [line for line in lines if line["kind"] == "result"]
    if found:
        return [
            f"{line['ways']}-way {line['shots']}-shot {100 * line['accuracy']:.1f} "
            f"± {100 * line['ci95']:.1f}"
            for line in found
        ]
    seen: list[Mapping] = [
        line for path in run.glob("models/*/metrics.jsonl") for line in read_lines(path)
    ]
    best = max((line["validation"] for line in seen), default=0.0)
    return [f"validation {100 * best:.1f}"]


def main() -> None:
    """Prints a line for each stage."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.accelerator")
    parser.description = __doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/accelerator"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name, stage in stages(args.data, args.out).items():
        print(f"{name}: {measure(stage, args.out / f'{name}.log')}", flush=True)


if __name__ == "__main__":
    main()
