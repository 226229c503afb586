"""Measures outer gradients of MAML beside PyTorch and beside JAX's own convolution.

    python -m experiments.benchmarks.maml [--tasks 32] [--steps 1]

Each competitor is a process of its own with the threads it takes by default; they work in turn,
one gradient each a round. Prints medians in milliseconds a task, ratios and peak memory. Run
nothing else meanwhile; `taskset -c 0` in front gives all of them one core. fsjax spreads tasks
over one device a core, as training does with --config.devices. PyTorch is needed beside the
requirements: pip install torch==2.13.0.
"""

import argparse
import os
import sys

import numpy as np

from experiments.benchmarks import contest

WAYS, QUERIES, FEATURES = 5, 15, 64
COMPETITORS = ("fsjax", "fsjax, tasks by vmap", "PyTorch", "PyTorch, tasks by vmap", "lax.conv")


def tasks(number: int) -> tuple[np.ndarray, ...]:
    """Random x [T, 5, 28, 28, 1], y [T, 5], query [T, 75, 28, 28, 1], target [T, 75]."""
    rng = np.random.default_rng(0)
    rows = (WAYS, WAYS * QUERIES)
    images = [rng.uniform(-1, 1, (number, n, 28, 28, 1)).astype(np.float32) for n in rows]
    labels = [np.tile(np.arange(n) % WAYS, (number, 1)) for n in rows]
    return images[0], labels[0], images[1], labels[1]


def competitor(name: str, number: int, steps: int) -> contest.Work:
    """One gradient over tasks, by name."""
    sizes = {"features": FEATURES, "ways": WAYS, "steps": steps}
    if name.startswith("PyTorch"):
        from experiments.benchmarks import torch_maml

        how = torch_maml.mapped if "vmap" in name else torch_maml.in_turn
        return torch_maml.work(how, tasks(number), **sizes)
    import jax

    cores = len(os.sched_getaffinity(0)) if name.startswith("fsjax") else 1
    jax.config.update("jax_num_cpu_devices", cores)
    from experiments.benchmarks import jax_maml

    if name == "lax.conv":
        work = jax_maml.plain(tasks(number), **sizes)
    else:
        block = None if "vmap" in name else 1
        work = jax_maml.ours(tasks(number), ways=WAYS, steps=steps, block=block)
    return lambda: jax.block_until_ready(work())


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.maml")
    parser.description = __doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--tasks", type=int, default=32)
    parser.add_argument("--steps", type=int, default=1, help="inner steps")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="competitors, separated by semicolons")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        contest.serve(competitor(args.serve, args.tasks, args.steps), args.tasks)
        return
    command = [sys.executable, "-m", "experiments.benchmarks.maml"]
    command += [f"--tasks={args.tasks}", f"--steps={args.steps}"]
    names = args.only.split(";") if args.only else COMPETITORS
    found = contest.measure({n: [*command, f"--serve={n}"] for n in names}, args.rounds)
    print(f"{args.tasks} tasks, {args.steps} inner steps")
    print(contest.table(found, "task"))


if __name__ == "__main__":
    main()
