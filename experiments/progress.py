"""How a run shows that it goes on: bars on a terminal, plain lines in a batch log."""

import sys
import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars


class Board:
    """The progress of all models of a run, a context manager."""

    def __init__(self, quiet: bool = False):
        columns = (
            TextColumn("{task.description:>10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
        )
        self.bars = Bars(*columns, console=Console(quiet=quiet), disable=not sys.stdout.isatty())

    def __enter__(self):
        self.bars.start()
        return self

    def __exit__(self, *error):
        self.bars.stop()

    def add(self, name: str, steps: int) -> "Progress":
        """A new model, and the number of steps of its training."""
        return Progress(self.bars, name, steps)


class Progress:
    """The progress of one model."""

    def __init__(self, bars: Bars, name: str, steps: int):
        self._bars, self._name, self._steps = bars, name, steps
        self._task = bars.add_task(name, total=steps, figures="compiling")
        self._step, self._among = 0, ", compiling among it"
        self._time = time.perf_counter()

    def resume(self, step: int, seen: int) -> None:
        """Tells that training goes on from a step, if it has begun before and `seen` one."""
        self._step, self._time = step, time.perf_counter()
        self._bars.update(self._task, completed=step)
        if seen:
            gone = (
                f"; it had been at {seen}, of which there is no checkpoint" if seen > step else ""
            )
            self.say(f"goes on from step {step}{gone}")

    def advance(self, line: Mapping[str, float]) -> None:
        """Tells the figures of a chunk."""
        step, now = int(line["step"]), time.perf_counter()
        each = (now - self._time) / max(step - self._step, 1)
        self._step, self._time = step, now
        shown = {key: value for key, value in line.items() if key not in ("step", "minutes")}
        figures = "  ".join(f"{key} {value:.3f}" for key, value in shown.items())
        self._bars.update(self._task, completed=step, figures=figures)
        if self._bars.disable:
            cost = f"{1e3 * each:.0f} ms a step{self._among}"
            self.say(f"step {step}/{self._steps}  {figures}  {cost}")
        self._among = ""

    def say(self, text: str) -> None:
        """Prints a line of its own."""
        self._bars.console.print(f"{self._name}: {text}", highlight=False, soft_wrap=True)
