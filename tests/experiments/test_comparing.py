"""Paired differences: which models are compared, and by what."""

import numpy as np
import pytest

from experiments import comparing, results, scoring
from experiments.configs import emoji


def test_the_first_model_is_compared_with_all_and_several_changes_with_fewer(tmp_path):
    config = emoji.get_config()
    config.test.update(settings=((5, 1),), episodes=3)
    rights = {"prototype": [1, 2, 3], "matching": [2, 2, 2], "prototype+hallucinate": [3, 4, 5]}
    asked = {"ways": 5, "shots": 1, "queries": 2, "episodes": 3, "apart": True}
    for name, right in rights.items():
        file = tmp_path / scoring.episodes_file(name, asked)
        results.save_arrays(file, {"accuracy": np.array(right) / 10})
    names = ["matching", "prototype", "prototype+hallucinate"]
    assert comparing.pairs([*names, "raw"])[-3:] == [
        ("prototype+hallucinate", "prototype"),
        ("prototype", "raw"),
        ("prototype+hallucinate", "raw"),
    ]
    lines = comparing.compare(names, config, tmp_path)
    assert all(asked.items() <= line.items() for line in lines)
    found = {(line["model"], line["against"]): line["difference"] for line in lines}
    assert found == {
        ("matching", "prototype"): pytest.approx(0.0),
        ("matching", "prototype+hallucinate"): pytest.approx(-0.2),
        ("prototype+hallucinate", "prototype"): pytest.approx(0.2),
    }


def test_every_fusion_is_compared_with_the_modality_alone_that_is_best_on_validation(tmp_path):
    config = emoji.get_config()
    config.test.update(settings=((5, 1),), episodes=2)
    asked = {"ways": 5, "shots": 1, "queries": 2, "episodes": 2, "apart": True}
    names = ["attention", "concat", "image", "text"]
    for name, accuracy, validated in zip(names, (7, 6, 5, 4), (0, 0, 0.3, 0.4), strict=True):
        file = tmp_path / scoring.episodes_file(name, asked)
        results.save_arrays(file, {"accuracy": np.full(2, accuracy / 10)})
        lines = [{"step": i, "validation": validated - i / 10} for i in range(2)]
        results.write_lines(tmp_path / "models" / name / "metrics.jsonl", lines)
    lines = comparing.compare(names, config, tmp_path)
    found = {(line["model"], line["against"]): line["difference"] for line in lines}
    assert set(found) == {("attention", name) for name in names[1:]} | {("concat", "text")}
    assert found["concat", "text"] == pytest.approx(0.2)
