"""How a run shows that it goes on: a bar on a terminal, plain lines in a batch log."""

import sys
import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress:
    """Progress of one model's training, a context manager.

    Args:
      name: of the model.
      steps: of its whole training.
    """

    def __init__(self, name: str, steps: int):
        self._name, self._steps = name, steps
        self._step, self._time = 0, time.perf_counter()
        self._console = Console()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
        )
        self._bar = Bar(*columns, console=self._console, disable=not sys.stdout.isatty())
        self._task = self._bar.add_task(name, total=steps, figures="compiling")

    def __enter__(self):
        self._bar.start()
        return self

    def __exit__(self, *error):
        self._bar.stop()

    def resume(self, step: int) -> None:
        """Tells that the run goes on from a step."""
        self._step, self._time = step, time.perf_counter()
        self._bar.update(self._task, completed=step)
        if step:
            self._say(f"goes on from step {step}")

    def advance(self, line: Mapping[str, float]) -> None:
        """Tells the figures of a chunk; the first of a run includes compilation."""
        step, now = int(line["step"]), time.perf_counter()
        each = (now - self._time) / max(step - self._step, 1)
        self._step, self._time = step, now
        figures = " ".join(f"{key} {value:.3f}" for key, value in line.items() if key != "step")
        self._bar.update(self._task, completed=step, figures=figures)
        if self._bar.disable:
            self._say(f"step {step}/{self._steps} {figures} ({1e3 * each:.0f} ms a step)")

    def _say(self, text: str) -> None:
        self._console.print(f"{self._name}: {text}", highlight=False)
