"""What runs left in their work directories, read back."""

import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Line = dict[str, Any]
SEED = "seed="  # how the folders of several seeds begin
TRAINED_IN = "trained_in.json"  # the run whose models were tested, in a folder of other data

# What a line of a known kind must have.
NEEDED = {
    "result": ("model", "ways", "shots", "accuracy", "ci95"),
    "comparison": ("model", "against", "ways", "shots", "difference", "ci95"),
    "open_set": ("model", "ways", "shots", "unknown", "auroc", "ci95"),
    "answered": ("model", "ways", "shots", "risk", "answered", "ci95"),
    "wrong": ("model", "ways", "shots", "risk", "wrong", "ci95"),
    "calibration": ("model", "ways", "shots", "calibrated", "ece", "ci95"),
}
# Under conditions, as a result or a comparison and what the condition is.
CONDITIONS = {"missing": ("missing",), "cross": ("support", "query"), "corrupt": ("corrupt",)}
NEEDED |= {kind: (*NEEDED["result"], *keys) for kind, keys in CONDITIONS.items()}
NEEDED |= {
    f"{kind}_comparison": (*NEEDED["comparison"], *keys) for kind, keys in CONDITIONS.items()
}
# What a line and one that was made again have in common.
TOLD = ("kind", "model", "against", "data", "split", "seed", "modalities", "steps")
TOLD += ("ways", "shots", "queries", "apart", "episodes", "unknown", "risk", "calibrated")
TOLD += ("condition", *(key for keys in CONDITIONS.values() for key in keys))


class Run(NamedTuple):
    """What a work directory holds; a part that is not there is empty."""

    folder: Path
    config: Mapping[str, Any]
    lines: list[Line]  # results.jsonl; of a result that was made again the later
    metrics: Mapping[str, list[Line]]  # model -> metrics.jsonl
    inspection: Mapping[str, np.ndarray]
    trained_in: str = ""  # the work directory of the models, where they were tested on other data

    @property
    def name(self) -> str:
        """The name of the folder; of one of several seeds also that of the folder of all."""
        folder = self.folder.resolve()
        own = folder.name.startswith(SEED)
        return f"{folder.parent.name} {folder.name}" if own else folder.name


def read_run(folder: Path) -> Run:
    """Reads a work directory.

    Args:
      folder: of a run; of one that was killed, parts may be missing.

    Returns:
      What is there.

    Raises:
      ValueError: if it is no work directory or a file is damaged; says which, and what to do.
    """
    config, inspection = folder / "config.json", folder / "inspection.npz"
    if not config.is_file() and not (folder / "results.jsonl").is_file():
        raise ValueError(
            f"{folder} is not the work directory of a run: it has neither config.json nor "
            "results.jsonl; name a folder made by `python -m experiments.train --workdir DIR`"
        )
    settings, arrays = read_config(folder), {}
    try:
        if inspection.exists():
            with np.load(inspection) as file:
                arrays = dict(file)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{inspection} is damaged ({error}); remove it, or run again") from error
    logs = sorted(folder.glob("models/*/metrics.jsonl"))
    metrics = {log.parent.name: read_lines(log, ("step",)) for log in logs}
    lines = latest(read_lines(folder / "results.jsonl"))
    return Run(folder, settings, lines, metrics, arrays, trained_in(folder))


def latest(lines: Sequence[Line]) -> list[Line]:
    """Lines in whose place those that were made again stand; kinds that are not known stay."""

    def told(line: Line) -> str:
        known = line.get("kind") in NEEDED
        return json.dumps([line.get(key) for key in TOLD] if known else line)

    return list({told(line): line for line in lines}.values())


def read_config(folder: Path) -> dict[str, Any]:
    """The config of a run; empty if there is none.

    Raises:
      ValueError: if it is damaged; says what to do.
    """
    path = folder / "config.json"
    try:
        return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}
    except (ValueError, TypeError, OSError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); remove it and train the run again, which writes it anew"
        ) from error


def trained_in(folder: Path) -> str:
    """The work directory whose models were tested in a folder of other data; else nothing."""
    path = folder / TRAINED_IN
    return json.loads(path.read_text("utf-8")) if path.exists() else ""


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Reads work directories; of one of several seeds, those of each."""
    found = []
    for folder in map(Path, folders):
        seeds = [path for path in folder.glob(f"{SEED}*") if (path / "config.json").is_file()]
        seeds.sort(key=lambda path: int(path.name.removeprefix(SEED)))
        found += [folder] if (folder / "results.jsonl").exists() else seeds or [folder]
    return list(map(read_run, found))


def read_lines(path: Path, needed: Sequence[str] = ()) -> list[Line]:
    """Reads JSON objects, one a line, of a file that may be missing.

    Args:
      path: of the file.
      needed: keys that every line must have, besides those that its kind must have.

    Returns:
      The objects.

    Raises:
      ValueError: if a line is damaged; names it.
    """
    lines = []
    for number, text in enumerate(path.read_text("utf-8").splitlines() if path.exists() else (), 1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
            lacking = {*needed, *NEEDED.get(line.get("kind"), ())} - line.keys()
        except (ValueError, AttributeError) as error:
            fault = f"{path}, line {number} is damaged: {text[:60]!r}; remove it"
            raise ValueError(fault) from error
        if lacking:
            raise ValueError(f"{path}, line {number} lacks {', '.join(sorted(lacking))}; remove it")
        lines.append(line)
    return lines


def told_apart(names: Sequence[str], runs: Sequence[Run]) -> list[str]:
    """The names of runs, and the folders of those that share one."""
    return [
        name if names.count(name) == 1 else str(run.folder)
        for name, run in zip(names, runs, strict=True)
    ]


def merge(runs: Sequence[Run]) -> list[Line]:
    """The lines of all runs, each with the name of its run.

    Runs whose configs differ in nothing but the seed count as one run with several seeds.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        key = json.dumps({**run.config, "seed": None}) if run.config else str(run.folder)
        seeds = [other.config.get("seed") for other in groups.get(key, ())]
        again = run.config.get("seed") in seeds
        groups.setdefault(str(run.folder) if again else key, []).append(run)
    firsts = [group[0] for group in groups.values()]
    names = told_apart(list(map(_of_all_seeds, groups.values())), firsts)
    return [
        {**line, "run": name}
        for group, name in zip(groups.values(), names, strict=True)
        for run in group
        for line in run.lines
    ]


def _of_all_seeds(group: Sequence[Run]) -> str:
    """The name of several runs as one: what theirs have in common beside the seed, if they do."""
    first, *others = dict.fromkeys(re.sub(rf"[ -]{SEED}\d+", "", run.name) for run in group)
    return f"{first}..{others[-1]}" if others else first
