"""What the report tells of a run beside figures: machine, settings, and how to make it again."""

import html
import json
import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.configs.emoji import get_config
from experiments.names import setting
from experiments.runs import Run
from experiments.tables import Cell, Grid, as_html


def _command(config: Mapping[str, Any]) -> str:
    """The command that trains with a config, as far as it can be told from the default one."""

    def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        for key, value in settings.items():
            deeper = isinstance(value, Mapping)
            pairs |= flat(value, f"{prefix}{key}.") if deeper else {prefix + key: value}
        return pairs

    def tuples(value: Any) -> Any:
        return tuple(map(tuples, value)) if isinstance(value, list | tuple) else value

    ours, default = flat(config), flat(get_config().to_dict())
    command = ["python -m experiments.train --workdir runs/again"]
    if ours.keys() != default.keys():
        return f"{command[0]} --config FILE  # one that gives the settings above"
    changed = {key: value for key, value in ours.items() if tuples(value) != tuples(default[key])}
    command += [shlex.quote(f"--config.{key}={tuples(value)}") for key, value in changed.items()]
    return " \\\n    ".join(command)


def _command_elsewhere(run: Run) -> str:
    """The command that tests models of another run on the data of a config."""
    default = {**get_config().data.to_dict(), "splits": "all"}
    words = [
        shlex.quote(f"{key}={value}")
        for key, value in run.config["data"].items()
        if key == "name" or value != default.get(key)
    ]
    command = [f"python -m experiments.evaluate --workdir {shlex.quote(run.trained_in)}"]
    command += [f"--data {' '.join(words)}", "--out runs/again"]
    return " \\\n    ".join(command)


def facts(run: Run) -> str:
    """Machine, times and settings of a run, how to make it again, and every result."""
    results = [line for line in run.lines if line.get("kind") == "result"]
    told = {}
    for key in ("commit", "device", "cores", "versions"):
        values = [line[key] for line in results if key in line]
        if key == "versions":
            values = [", ".join(f"{k} {v}" for k, v in value.items()) for value in values]
        told[key] = "; ".join(dict.fromkeys(map(str, values))) or "not noted"
    told["evaluation"] = f"{sum(line.get('seconds', 0) for line in results):.0f} s in all"
    items = "".join(f"<dt>{key}</dt><dd>{html.escape(text)}</dd>" for key, text in told.items())
    asked = ("queries", "apart", "episodes")
    names = ("model", "setting", *asked, "accuracy %", "NLL", "ECE", "seconds")
    rows = [[Cell(name) for name in names]]
    for line in results:
        figures = [f"{100 * line['accuracy']:.2f} ± {100 * line['ci95']:.2f}"]
        figures += [f"{line[key]:.3f}" if key in line else "-" for key in ("nll", "ece")]
        where = [line["model"], setting(line), *(str(line.get(key, "-")) for key in asked)]
        seconds = f"{line.get('seconds', np.nan):.1f}"
        rows.append([Cell(text) for text in (*where, *figures, seconds)])
    note = "Apart: support and query of different groups. Seconds are those of the evaluation."
    every = as_html(Grid(rows, [note]))
    every = f"<details><summary>Every result</summary>{every}</details>"
    return f"<dl>{items}</dl>{_settings(run)}{every}"


def _settings(run: Run) -> str:
    if not run.config:
        return '<p class="missing">No settings: config.json is not there.</p>'
    settings = html.escape(json.dumps(run.config, indent=2))
    command = _command_elsewhere(run) if run.trained_in else _command(run.config)
    asked = ", with the flags of the tests that are wanted" * bool(run.trained_in)
    return (
        f"<p>To make it again{asked}:</p><pre>{html.escape(command)}</pre>"
        f"<details><summary>Settings</summary><pre>{settings}</pre></details>"
    )
