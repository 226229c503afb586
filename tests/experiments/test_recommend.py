"""Recommendations: from validation alone, the best and what cannot be told from it."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments import build, fitting, jobs, recommend, results
from experiments.recommend import _choose
from fsjax.data.pool import make_pool

SETTING = {"ways": 4, "shots": 1, "queries": 1}


@pytest.fixture(scope="module")
def done(tmp_path_factory, small, write_npz):
    folder = tmp_path_factory.mktemp("recommended")
    config = small(write_npz(folder / "data.npz"))
    config.update(modalities="tabular", fusion="plain", compare="raw")
    config.test.settings = ((3, 1),)
    return config, folder / "work", recommend.recommend(config, folder / "work")


def test_all_candidates_answer_the_same_episodes_of_validation(done):
    _, workdir, chosen = done
    found = [line for line in chosen.lines if line["kind"] == "result"]
    assert [line["model"] for line in found] == ["prototype", "raw"]
    for line in chosen.lines:
        assert line["split"] == "validation" and line["episodes"] == 20
        assert {key: line[key] for key in SETTING} == SETTING
    assert chosen.model == max(found, key=lambda line: line["accuracy"])["model"]
    assert results.read_lines(workdir / "recommendation.jsonl") == chosen.lines
    assert not (workdir / "episodes").exists()  # no test was made


def test_models_are_kept_where_training_finds_them_and_are_not_learned_anew(done):
    config, workdir, chosen = done
    (log,) = workdir.glob("models/*/metrics.jsonl")
    before = log.read_text()
    pools = {split: make_pool(part) for split, part in build.tables(config).items()}
    job = jobs.prepare(build.models(config)["prototype"], pools["train"])
    fitting.trained_params(job, log.parent)
    assert recommend.recommend(config, str(workdir)) == chosen
    assert log.read_text() == before


def test_models_that_cannot_be_told_from_the_best_are_named(tmp_path, small):
    config = small(tmp_path)
    random = np.random.default_rng(0)
    best = random.uniform(0.5, 1.0, 400)
    accuracies = {
        "tabular": best - 0.1,
        "attention": best,
        "raw": best - 0.001 + 0.1 * random.normal(size=400),
    }
    chosen = _choose(config, accuracies)
    assert (chosen.model, chosen.equals) == ("attention", ("raw",))
    assert str(chosen) == "Use attention; these episodes do not tell it from raw."
    differences = {x["against"]: x["difference"] for x in chosen.lines if "against" in x}
    assert differences["tabular"] == pytest.approx(0.1)
    alone = _choose(config, {"attention": best, "raw": best - 0.1})
    assert alone.equals == () and "above all others" in str(alone)


def test_one_model_alone_is_nothing_to_choose_from(tmp_path, small):
    config = small(tmp_path)
    config.compare = ""
    with pytest.raises(ValueError, match=r"attention alone.*config\.compare"):
        recommend.recommend(config, tmp_path / "work")


def test_a_dry_run_tells_what_training_would_cost_and_trains_nothing(done, monkeypatch, capsys):
    monkeypatch.setattr(recommend.command, "CONFIG", SimpleNamespace(value=done[0]))
    monkeypatch.setattr(recommend.train, "WORKDIR", SimpleNamespace(value=str(done[1])))
    monkeypatch.setattr(recommend.train, "DRY_RUN", SimpleNamespace(value=True))
    monkeypatch.setattr(recommend.dry_run, "plan", lambda config: f"of {config.compare}")
    monkeypatch.setattr(recommend, "recommend", pytest.fail)
    recommend.main([])
    assert capsys.readouterr().out == "of raw\n"
