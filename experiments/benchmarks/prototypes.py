"""Measures training steps of a prototypical network beside PyTorch.

    python -m experiments.benchmarks.prototypes [--ways 20] [--only "fsjax;PyTorch"]

A step is Conv4-64 on 28 x 28 pixels, 5 support and 5 query images of each class, forward, backward
and Adam; fsjax draws its episodes too, PyTorch is given one. Each competitor is a process of its
own with the threads it takes by default; they work in turn. Prints medians in milliseconds a step,
ratios and peak memory. Run nothing else meanwhile; `taskset -c 0` in front gives all of them one
core. PyTorch is needed beside the requirements: pip install torch==2.13.0.
"""

import argparse
import sys

import numpy as np

from experiments.benchmarks import contest

SHOTS = QUERIES = 5
CLASSES, ROWS, STEPS = 100, 20, 5
# glibc then keeps what is freed, in place of giving it back and asking for it page by page again.
TUNED = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
VARIABLES = {
    "fsjax, tuned allocator": TUNED,
    "PyTorch, channels last, tuned allocator": TUNED,
}
HOW = {
    "PyTorch": {},
    "PyTorch, channels last": {"channels_last": True},
    "PyTorch, channels last, tuned allocator": {"channels_last": True},
    "PyTorch, compiled": {"compiled": True},
    "PyTorch, compiled, channels last": {"compiled": True, "channels_last": True},
}
COMPETITORS = ("fsjax", "fsjax, tuned allocator", *HOW)


def images() -> np.ndarray:
    """Random ones [C, P, 28, 28, 1], uint8."""
    return np.random.default_rng(0).integers(0, 256, (CLASSES, ROWS, 28, 28, 1), np.uint8)


def competitor(name: str, ways: int) -> contest.Work:
    """So many steps, by name."""
    sizes = {"ways": ways, "shots": SHOTS, "queries": QUERIES, "steps": STEPS}
    if name in HOW:
        from experiments.benchmarks import torch_prototypes

        return torch_prototypes.work(images(), **sizes, **HOW[name])
    from experiments.benchmarks import jax_prototypes

    return jax_prototypes.work(images(), **sizes)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.prototypes")
    parser.description = __doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--ways", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", help="competitors, separated by semicolons")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        contest.serve(competitor(args.serve, args.ways), STEPS)
        return
    command = [sys.executable, "-m", "experiments.benchmarks.prototypes", f"--ways={args.ways}"]
    names = args.only.split(";") if args.only else COMPETITORS
    commands = {n: [*command, f"--serve={n}"] for n in names}
    print(f"{args.ways} ways, {SHOTS} shots, {QUERIES} queries")
    print(contest.table(contest.measure(commands, args.rounds, VARIABLES), "step"))


if __name__ == "__main__":
    main()
