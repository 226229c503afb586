"""How a run is asked to stop, by a signal or because a model failed, and stops where it goes on."""

import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from experiments import hosts
from fsjax.training.loop import Diverged
from fsjax.types import Metrics, TrainState

Result = TypeVar("Result")

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
RUN_AGAIN = os.EX_TEMPFAIL  # 75, by which batch systems know a job that wants to be run again
INTERRUPTED = 128 + signal.SIGINT  # what shells make of Ctrl-C


class Stopped(Exception):
    """A run ended before its time, at a point from which it goes on."""


class Stop:
    """What the models of a run, each in its thread, look at between chunks.

    Args:
      outer: of several runs, of which this one is: asked, it stops this one too, but not the other
        way round.
    """

    def __init__(self, outer: "Stop | None" = None):
        self._asked, self._outer = threading.Event(), outer
        self.signal: signal.Signals | None = None  # that asked, if one did

    def ask(self, by: signal.Signals | None = None) -> None:
        """Asks all to stop."""
        self.signal = self.signal or by
        self._asked.set()

    def is_asked(self) -> bool:
        """Whether this process was asked to stop."""
        return self._asked.is_set() or (self._outer is not None and self._outer.is_asked())

    def check(self) -> None:
        """Goes on unless it, or another process of the job, was asked to stop.

        Raises:
          Stopped: if one was.
        """
        if hosts.any_of(self.is_asked()):
            raise Stopped

    def after_chunk(self, state: TrainState, metrics: Metrics) -> TrainState:
        """`check` as a hook, to stand behind the one that saves."""
        self.check()
        return state


@contextmanager
def on_signals() -> Iterator[Stop]:
    """A stop that SIGTERM, SIGUSR1 and SIGINT ask for; the second SIGINT ends the process at once.

    Only in the main thread.
    """
    stop = Stop()

    def ask(number: int, frame: object) -> None:
        by = signal.Signals(number)
        again = ""
        if by == signal.SIGINT:
            signal.signal(by, signal.SIG_DFL)
            again = " (Ctrl-C again: at once)"
        # Not print: the thread may have been interrupted in one.
        os.write(2, f"{by.name}: stops when the running chunk is saved{again}\n".encode())
        stop.ask(by)

    before = {number: signal.signal(number, ask) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave(stop: Stop, workdir: Path) -> None:
    """Ends the process of a run that a signal stopped, with the command that goes on.

    Raises:
      SystemExit: with the code 75, run me again; after SIGINT 130.
    """
    given = any(word.lstrip("-").split("=")[0] == "workdir" for word in sys.orig_argv)
    command = shlex.join([*sys.orig_argv, *([] if given else [f"--workdir={workdir}"])])
    name = stop.signal.name if stop.signal else "a signal to another process"
    if hosts.is_first():
        print(f"stopped by {name}, all saved; go on with: {command}", file=sys.stderr)
    raise SystemExit(INTERRUPTED if stop.signal == signal.SIGINT else RUN_AGAIN)


@contextmanager
def tidily(workdir: Path) -> Iterator[Stop]:
    """A stop that signals ask for; a command that they stopped ends as `leave` does."""
    with on_signals() as stop:
        try:
            yield stop
        except Stopped:
            leave(stop, workdir)


def side_by_side(
    function: Callable[[str], Result], names: Sequence[str], *, threads: int, stop: Stop
) -> Iterator[Result]:
    """What a function makes of names, in their order; of one that fails, the others stop.

    Args:
      function: of the name of a model; looks at `stop`.
      names: of the models.
      threads: in which they run.
      stop: asked for when one fails.

    Raises:
      Stopped: if it was asked for by others.
      Exception: that of the first that failed, when all have stopped.
    """
    failed = []

    def attempt(name: str) -> Result:
        try:
            stop.check()
            return function(name)
        except Stopped:
            raise
        except BaseException as error:
            named = Diverged(f"{name}: {error}") if isinstance(error, Diverged) else error
            failed.append(named)
            stop.ask()
            raise named from error.__cause__

    try:
        with ThreadPoolExecutor(threads) as pool:
            try:
                yield from pool.map(attempt, names)
            except BaseException:
                stop.ask()
                raise
    except Stopped:
        if failed:
            raise failed[0] from failed[0].__cause__
        raise
