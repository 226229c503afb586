"""Stages on small commands, and what is told of their runs."""

import json
from pathlib import Path

import pytest

from experiments.benchmarks import accelerator
from experiments.benchmarks.accelerator import Stage, figures, measure, stages
from experiments.runs import NEEDED

SLEEPS = ["timeit", "-n1", "-r1", "import time; time.sleep(60)"]


@pytest.mark.parametrize(
    "command, seconds, ended",
    [(["this"], 30, "done"), (["no_such_module"], 30, "failed"), (SLEEPS, 0.5, "stopped")],
)
def test_a_stage_says_how_it_ended(tmp_path, command, seconds, ended):
    told = measure(Stage(seconds, command), tmp_path / "log")
    assert told.endswith(f"of {seconds:.0f} s; {ended}, see {tmp_path / 'log'}")
    text = (tmp_path / "log").read_text()
    assert {"done": "Zen", "failed": "no_such_module", "stopped": ""}[ended] in text


def test_a_run_tells_its_test_or_else_its_best_validation(tmp_path):
    assert figures(tmp_path) == ["validation 0.0"]
    model = tmp_path / "models" / "prototype"
    model.mkdir(parents=True)
    lines = [{"step": 1, "validation": v} for v in (0.25, 0.5, 0.375)]
    (model / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert figures(tmp_path) == ["validation 50.0"]
    result = dict.fromkeys(NEEDED["result"], 0)
    result |= {"kind": "result", "ways": 5, "shots": 1, "accuracy": 0.985, "ci95": 0.002}
    (tmp_path / "results.jsonl").write_text(f"{json.dumps(result)}\n")
    assert figures(tmp_path) == ["5-way 1-shot 98.5 ± 0.2"]


def test_stages_end_within_ten_minutes_and_name_configs_that_exist(tmp_path):
    found = stages(tmp_path, tmp_path / "out")
    assert sum(stage.seconds for stage in found.values()) <= 600
    root = Path(accelerator.__file__).parents[2]
    for stage in found.values():
        paths = [word.removeprefix("--config=") for word in stage.command if "--config=" in word]
        assert all((root / path).is_file() for path in paths)
        assert stage.run is None or f"--workdir={stage.run}" in stage.command
