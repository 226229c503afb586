"""Competitors that do the same work in turn, each a process of its own that answers when asked."""

import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

Work = Callable[[], object]
NOTHING: Mapping[str, str] = {}


class Competitor(NamedTuple):
    """One way to do the work."""

    make: Callable[[], Work]  # called in its own process, whose imports it makes
    variables: Mapping[str, str] = NOTHING  # of that process, besides this one's


class Bout(NamedTuple):
    """Work that competitors do side by side; the first is compared with the others."""

    title: str
    part: str  # of the work, whose milliseconds are told
    parts: int
    competitors: Mapping[str, Competitor]
    gigaflops: float = 0.0  # of a part, a multiplication and an addition as two; 0: not told


def serve(make: Callable[[], Work], parts: int) -> None:
    """Answers every line of the input with the milliseconds of one of the parts of the work, with
    the seconds that it took to make ready, compiling and the first work among them, and with the
    peak memory.
    """
    start = time.perf_counter()
    work = make()
    work()
    ready = time.perf_counter() - start
    for _ in sys.stdin:
        start = time.perf_counter()
        work()
        used = 1e3 * (time.perf_counter() - start)
        print(json.dumps({"ms": used / parts, "ready": ready, "GiB": peak_memory()}), flush=True)


def median(work: Work, parts: int, repeats: int = 5) -> float:
    """Milliseconds of one of the parts of work in this process, after once for nothing."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - start) / parts)
    return float(np.median(times))


def peak_memory() -> float:
    """Of this process in GiB: of its accelerator if it uses one, else of the machine."""
    if "jax" in sys.modules and (told := sys.modules["jax"].devices()[0].memory_stats()):
        return told["peak_bytes_in_use"] / 2**30
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        return sys.modules["torch"].cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(
    commands: Mapping[str, Sequence[str]],
    rounds: int,
    variables: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, dict[str, float]]:
    """Lets competitors work in turn, once a round.

    Args:
      commands: competitor -> the command that serves its work.
      rounds: how often each is asked, after once for nothing.
      variables: competitor -> of the environment of its process, besides this one's.

    Returns:
      Competitor -> the medians of what `serve` answers.

    Raises:
      RuntimeError: if a process ends before it has answered.
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    servers = {
        name: subprocess.Popen(
            command, env=os.environ | dict((variables or {}).get(name, {})), **pipes
        )
        for name, command in commands.items()
    }

    def ask(name: str) -> dict[str, float]:
        server = servers[name]
        with contextlib.suppress(BrokenPipeError):  # of one that has ended
            server.stdin.write("\n")
            server.stdin.flush()
        answer = server.stdout.readline()
        if not answer:
            raise RuntimeError(f"{name!r} ended without an answer; it says why above")
        return json.loads(answer)

    try:
        for name in commands:  # each has compiled, and is at rest, before the first round
            ask(name)
        turns = [{name: ask(name) for name in commands} for _ in range(rounds)]
    finally:
        for server in servers.values():
            server.kill()
            server.wait()
    return {
        name: {key: float(np.median([turn[name][key] for turn in turns])) for key in turns[0][name]}
        for name in commands
    }


def table(bout: Bout, found: Mapping[str, Mapping[str, float]], peak: float) -> str:
    """The figures of `measure` as Markdown, each time beside its ratio to the first competitor's.

    Args:
      bout: whose figures they are.
      found: of each competitor.
      peak: GFLOP/s of the device, of which a share is told where the arithmetic is known; 0 if
        that is not.
    """
    share = bool(peak and bout.gigaflops)
    names = ["", f"ms a {bout.part}", "ratio", *["of the peak"] * share, "ready after", "memory"]
    first = next(iter(found.values()))["ms"]
    lines = [names, [":--", *["--:"] * (len(names) - 1)]]
    for name, of in found.items():
        used = [f"{bout.gigaflops / of['ms'] * 1e3 / peak:.0%}"] if share else []
        cells = [name, f"{of['ms']:.1f}", f"{of['ms'] / first:.2f}", *used]
        lines.append([*cells, f"{of['ready']:.1f} s", f"{of['GiB']:.2f} GiB"])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
