"""What a run leaves in its files."""

import json

import pytest

from experiments.configs.emoji import get_config
from experiments.results import append_new, open_workdir, plain
from experiments.runs import read_lines


def test_a_line_that_is_there_is_not_added_again(tmp_path):
    path = tmp_path / "results.jsonl"
    line = {"model": "raw", "shots": (1, 3), "auroc": float("nan"), "seconds": 1.0}
    append_new(path, [line])
    append_new(path, [line | {"seconds": 2.0}, line | {"shots": (1, 5)}])
    assert [found["shots"] for found in read_lines(path)] == [[1, 3], [1, 5]]


def test_a_run_of_an_earlier_version_had_the_defaults_of_keys_that_it_did_not_know(tmp_path):
    config, path = plain(get_config()), tmp_path / "config.json"
    held = {key: value for key, value in config.items() if key != "low_rank"}
    held["train"] = {key: value for key, value in config["train"].items() if key != "warp"}
    path.write_text(json.dumps(held))
    (tmp_path / "models").mkdir()
    with pytest.raises(SystemExit, match=r"of another config: train\.warp was 0\.0 and is 0\.1;"):
        open_workdir(tmp_path, config | {"train": config["train"] | {"warp": 0.1}})
    open_workdir(tmp_path, config)
    assert json.loads(path.read_text()) == config


def test_a_run_that_failed_before_it_trained_holds_no_directory(tmp_path):
    config = plain(get_config())
    for name in ("config.json", "inputs.json"):
        (tmp_path / name).write_text(json.dumps(config))
    open_workdir(tmp_path, config | {"modalities": "image"})
    assert json.loads((tmp_path / "config.json").read_text())["modalities"] == "image"


def test_a_damaged_config_is_named_with_the_way_out(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is damaged .*; remove it and train"):
        open_workdir(tmp_path, plain(get_config()))
