"""Measures fsjax beside PyTorch, work by work, on the device at hand.

    python -m experiments.bench [--quick] [--only BOUT ...] [--rounds N] [--out FILE.json]

Each competitor is a process of its own with the threads it takes by default; those of a bout work
in turn, and medians are told: milliseconds, their ratio to fsjax, the share of the device's peak
rate of arithmetic, after how many seconds all was compiled and done once, peak memory. Run nothing
else meanwhile; `taskset -c 0` in front gives all of them one core. `--quick` takes two minutes.
PyTorch is needed beside the requirements, pip install torch==2.13.0; without it fsjax is alone.
"""

import argparse
import importlib.util
import json
import sys
from collections.abc import Mapping

from experiments import results
from experiments.benchmarks import contest
from experiments.benchmarks.bouts import bouts
from experiments.names import as_path, count, pick


def measure(name: str, bout: contest.Bout, rounds: int, *flags: str) -> dict[str, dict[str, float]]:
    """The figures of a bout's competitors, but for PyTorch's where it is not installed."""
    again = [sys.executable, "-m", "experiments.bench", *flags, "--serve", name]
    there = {
        who: competitor
        for who, competitor in bout.competitors.items()
        if importlib.util.find_spec("torch") or not who.startswith("PyTorch")
    }
    commands = {who: [*again, who] for who in there}
    return contest.measure(commands, rounds, {who: c.variables for who, c in there.items()})


def peak(bout: contest.Bout, found: Mapping[str, Mapping[str, float]]) -> float:
    """GFLOP/s of the fastest competitor."""
    return max(1e3 * bout.gigaflops / of["ms"] for of in found.values())


def main() -> None:
    """Prints a table for each bout, and writes all figures."""
    parser = argparse.ArgumentParser(prog="python -m experiments.bench", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="short bouts, and not all")
    parser.add_argument("--only", nargs="+", metavar="BOUT", help=", ".join(bouts(quick=False)))
    parser.add_argument("--rounds", type=count, help="5, or 3 of quick ones")
    parser.add_argument("--out", type=as_path, help="a JSON file for the figures")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    all_bouts = bouts(quick=args.quick)
    if args.serve:
        bout = all_bouts[args.serve[0]]
        contest.serve(bout.competitors[args.serve[1]].make, bout.parts)
        return
    rounds = args.rounds or (3 if args.quick else 5)
    flags = ["--quick"] if args.quick else []
    wanted = ["peak", *(args.only or all_bouts)]
    chosen = {name: pick(all_bouts, name, "--only") for name in wanted}
    lines, fastest = [], 0.0
    for name, bout in chosen.items():
        found = measure(name, bout, rounds, *flags)
        fastest = fastest or peak(bout, found)
        print(f"\n{bout.title}\n\n{contest.table(bout, found, fastest)}", flush=True)
        lines += [{"bout": name, "competitor": who, **of} for who, of in found.items()]
        if args.out:  # after each, so that none is lost
            told = {**results.environment(), "gigaflops_a_second": fastest, "figures": lines}
            args.out.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
