"""Measures what a training step costs as devices are added, each with as many tasks as before.

    python -m experiments.benchmarks.scaling [--config FILE] [--config.key=value ...]

Each number of devices is a process of its own, whose CPU devices are threads of this machine: so
the arithmetic and the bytes that devices exchange, read from the compiled program, are what
accelerators would have, and the time is that of the cores there are. `--config.train.tasks` are the
tasks of each device. Run nothing else meanwhile.
"""

import json
import math
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from experiments import build, command, devices, dividing, jobs
from fsjax.training.state import train_chunk

ON = flags.DEFINE_integer("on", 0, "So many devices, in this process.")
NUMBERS = (1, 2, 4, 8)
STEPS, REPEATS = 4, 5
KINDS = "all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute"
BYTES = {
    "pred": 1,
    "s8": 1,
    "u8": 1,
    "s32": 4,
    "u32": 4,
    "f32": 4,
    "bf16": 2,
    "f16": 2,
    "s64": 8,
    "f64": 8,
}
HEADER = "devices   flops of each          collectives        KiB    ms a step  ms a device"


class Cost(NamedTuple):
    """Of a step, on each device."""

    devices: int
    flops: float
    collectives: dict[str, int]  # kind -> how many
    bytes: int  # that they give
    milliseconds: float


def collectives(text: str) -> list[tuple[str, int]]:
    """The collectives of a compiled program: the kind of each, and how many bytes it gives."""
    found = []
    for given, kind in re.findall(rf" = (.*?) ({KINDS})(?:-start)?\(", text):
        arrays = re.findall(r"([a-z]+[0-9]*)\[([0-9,]*)\]", given)
        sizes = [BYTES[t] * math.prod(int(n) for n in shape.split(",") if n) for t, shape in arrays]
        found.append((kind, sum(sizes)))
    return found


def measure(config: ConfigDict, number: int) -> Cost:
    """What a step of a config costs on so many devices, with `config.train.tasks` on each."""
    config = config.copy_and_resolve_references()
    config.devices = number
    config.train.tasks *= number
    devices.cores_as_devices(config)
    job = jobs.prepare(config, dividing.training_pool(config, build.tables(config)["train"]))
    program = train_chunk.lower(job.state, num_steps=STEPS, **jobs.trains_with(job)).compile()
    sample = job.training.sample
    times = []
    for _ in range(1 + REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(program(job.state, sample=sample))
        times.append(1e3 * (time.perf_counter() - start) / STEPS)
    talk = collectives(program.as_text())
    kinds = {kind: sum(k == kind for k, _ in talk) for kind, _ in talk}
    # Of a loop, which the chunk is, the program holds one turn.
    flops = program.cost_analysis()["flops"]
    return Cost(number, flops, kinds, sum(n for _, n in talk), float(np.median(times[1:])))


def row(cost: Cost, first: Cost) -> str:
    """A row of the table."""
    talk = ", ".join(f"{n} {kind}" for kind, n in cost.collectives.items()) or "none"
    return (
        f"{cost.devices:7} {cost.flops / first.flops:15.3f} {talk:>20} {cost.bytes / 2**10:10.1f}"
        f" {cost.milliseconds:12.1f} {cost.milliseconds / cost.devices:12.1f}"
    )


def main(argv: Sequence[str]) -> None:
    """Prints the table, or the costs of one number of devices."""
    if ON.value:
        print(json.dumps(measure(command.CONFIG.value, ON.value)))
        return
    print(HEADER)
    first = None
    for number in NUMBERS:
        again = [sys.executable, "-m", "experiments.benchmarks.scaling", *sys.argv[1:]]
        done = subprocess.run([*again, f"--on={number}"], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        cost = Cost(*json.loads(done.stdout.splitlines()[-1]))
        first = first or cost
        print(row(cost, first), flush=True)


if __name__ == "__main__":
    command.run(main)
