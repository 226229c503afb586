"""Competitors that do the same work in turn, each a process of its own that answers when asked."""

import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

Work = Callable[[], object]


def serve(work: Work, parts: int) -> None:
    """Answers every line of the input with the milliseconds of one of the parts of the work, and
    with the peak memory.
    """
    work()
    for _ in sys.stdin:
        start = time.perf_counter()
        work()
        used = 1e3 * (time.perf_counter() - start)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({"ms": used / parts, "GiB": peak}), flush=True)


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
      Competitor -> median milliseconds, "ms", and gibibytes of memory, "GiB".

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
        name: {key: float(np.median([turn[name][key] for turn in turns])) for key in ("ms", "GiB")}
        for name in commands
    }


def table(found: Mapping[str, Mapping[str, float]], part: str) -> str:
    """The figures of `measure`, each beside its ratio to the first competitor's."""
    first = next(iter(found.values()))["ms"]
    return "\n".join(
        f"{name:42}{of['ms']:9.1f} ms a {part}{of['ms'] / first:8.2f}{of['GiB']:7.2f} GiB"
        for name, of in found.items()
    )
