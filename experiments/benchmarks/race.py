"""Times whole trainings on Omniglot up to an accuracy, by fsjax and by PyTorch.

    python -m experiments.benchmarks.race --data FOLDER [--goal 0.97] [--only fsjax] [--rounds 3]

Both train prototypes of Conv4-64 alike, 60-way, 1 shot, 1 query, by Adam with a rate that falls
along a cosine, and validate every 100 steps on 600 episodes, 5-way 1-shot, of the validation
classes. fsjax does it twice: compiling all, and with programs kept on disk from the time before, as
scripts keep them. PyTorch does it as users run it, and with images and kernels laid out channels
last and glibc told to keep what is freed. The clock starts before jax or PyTorch is imported, reads
and compiles, and stops when validation first reaches the goal; the accuracy then on as many
episodes of the test classes is told too. They run one after the other, on all cores, over which
fsjax spreads rows as `--config.devices` does; `taskset -c 0` in front gives each one core.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.benchmarks.bouts import LAST, TUNED
from experiments.names import count

STEPS, EVERY = 3000, 100
SIZES = {"ways": 5, "shots": 1, "queries": 5, "episodes": 600}
SPLITS = "omniglot_vinyals_split.json"
AGAIN = "fsjax, compiled before"
FSJAX = ("fsjax", AGAIN)
# As `experiments.compiled.keep`, which imports jax: that is to happen when the clock runs.
KEPT = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1"}
VARIABLES = {"fsjax": {}, AGAIN: {}, "PyTorch": {}, f"{LAST}, tuned allocator": TUNED}


class Racer(NamedTuple):
    """A training under way."""

    advance: Callable[[int], object]  # takes so many steps
    accuracy: Callable[[str], float]  # in episodes of a split


def race(racer: Racer, goal: float, tell: Callable[[int, float], None]) -> int:
    """Trains until validation reaches the goal; returns the steps that took.

    Raises:
      RuntimeError: if it never does.
    """
    for step in range(EVERY, STEPS + 1, EVERY):
        racer.advance(EVERY)
        reached = racer.accuracy("validation")
        tell(step, reached)
        if reached >= goal:
            return step
    raise RuntimeError(f"validation did not reach {goal} in {STEPS} steps")


def racer(who: str, data: Path) -> Racer:
    """One of the competitors, by name."""
    if who in FSJAX:
        from experiments.benchmarks import jax_race

        return jax_race.racer(data)
    from experiments.benchmarks import torch_race

    return torch_race.racer(data, channels_last=who.startswith(LAST))


def serve(who: str, data: Path, goal: float) -> None:
    """Races in this process, and prints what came of it."""
    start = time.perf_counter()
    runs = racer(who, data)

    def tell(step: int, reached: float) -> None:
        seconds = time.perf_counter() - start
        print(f"{who}: step {step}, {seconds:.1f} s, {100 * reached:.2f}", file=sys.stderr)

    steps = race(runs, goal, tell)
    seconds = time.perf_counter() - start
    line = {"seconds": seconds, "steps": steps, "test": runs.accuracy("test")}
    print(json.dumps(line))


def once(racers: Sequence[str], data: Path, goal: float) -> dict[str, float]:
    """Lets each race in a process of its own, and tells of it: -> the seconds that it took."""
    seconds = {}
    with tempfile.TemporaryDirectory() as programs:
        kept = KEPT | {"JAX_COMPILATION_CACHE_DIR": programs}
        for who in racers:
            again = [sys.executable, "-m", "experiments.benchmarks.race", "--serve", who]
            again += [f"--data={data}", f"--goal={goal}"]
            variables = os.environ | VARIABLES[who] | kept
            start = time.perf_counter()
            done = subprocess.run(
                again, stdout=subprocess.PIPE, text=True, env=variables, check=True
            )
            found = json.loads(done.stdout.splitlines()[-1])
            # Testing came after the clock had stopped, and starting Python before it began.
            seconds[who] = found["seconds"]
            print(
                f"{who}: {found['seconds']:.1f} s, {found['steps']} steps, test "
                f"{100 * found['test']:.2f}; {ratio(seconds, who):.2f} times the first, "
                f"{time.perf_counter() - start:.1f} s with the test",
                flush=True,
            )
    return seconds


def ratio(seconds: Mapping[str, float], who: str) -> float:
    """How many times as long as the first one took."""
    return seconds[who] / next(iter(seconds.values()))


def main() -> None:
    """Prints a line for each competitor and round, and the medians of several rounds."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.race")
    parser.description = __doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, required=True, help="of Omniglot, with its split")
    parser.add_argument("--goal", type=float, default=0.97)
    parser.add_argument("--only", choices=[who for who in VARIABLES if who != AGAIN])
    parser.add_argument("--rounds", type=count, default=1, help="in which all race in turn")
    parser.add_argument("--serve", choices=VARIABLES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve, args.data, args.goal)
        return
    wanted = FSJAX if args.only == "fsjax" else [args.only] if args.only else VARIABLES
    there = [who for who in wanted if who in FSJAX or importlib.util.find_spec("torch")]
    rounds = [once(there, args.data, args.goal) for _ in range(args.rounds)]
    if args.rounds > 1:
        for who in there:
            seconds = statistics.median(taken[who] for taken in rounds)
            ratios = statistics.median(ratio(taken, who) for taken in rounds)
            print(f"{who}, medians: {seconds:.1f} s, {ratios:.2f} times the first of its round")


if __name__ == "__main__":
    main()
