"""Recommendations: from validation alone, the best and what cannot be told from it."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments import build, fitting, jobs, recommend, results
from experiments.recommend import Validated, _choose
from fsjax.data.pool import make_pool

SETTING = {"ways": 4, "shots": 1, "queries": 1}


@pytest.fixture(scope="module")
def done(tmp_path_factory, small, write_npz):
    folder = tmp_path_factory.mktemp("recommended")
    config = small(write_npz(folder / "data.npz"))
    config.update(modalities="tabular", fusion="plain", compare="raw,soft_kmeans")
    config.test.settings = ((3, 1),)
    return config, folder / "work", recommend.recommend(config, folder / "work")


def test_all_candidates_answer_the_same_episodes_of_validation(done):
    _, workdir, chosen = done
    found = [line for line in chosen.lines if line["kind"] == "result"]
    assert [line["model"] for line in found] == ["prototype", "raw", "soft_kmeans"]
    for line in chosen.lines:
        assert line["split"] == "validation" and line["episodes"] == 20
        assert {key: line[key] for key in SETTING} == SETTING
    assert [line["transductive"] for line in found] == [False, False, True]
    assert chosen.model == max(found[:2], key=lambda line: line["accuracy"])["model"]
    assert chosen.no_rivals == ("soft_kmeans",)
    assert results.read_lines(workdir / "recommendation.jsonl") == chosen.lines
    assert not (workdir / "episodes").exists()  # no test was made


def test_models_are_kept_where_training_finds_them_and_are_not_learned_anew(done):
    config, workdir, chosen = done
    log = workdir / "models/prototype/metrics.jsonl"
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
    found = {
        "tabular": Validated(best - 0.1, False),
        "attention": Validated(best, False),
        "raw": Validated(best - 0.001 + 0.1 * random.normal(size=400), False),
    }
    chosen = _choose(config, found)
    assert (chosen.model, chosen.equals) == ("attention", ("raw",))
    assert str(chosen) == "Use attention; these episodes do not tell it from raw."
    differences = {x["against"]: x["difference"] for x in chosen.lines if "against" in x}
    assert differences["tabular"] == pytest.approx(0.1)
    alone = {"attention": Validated(best, False), "raw": Validated(best - 0.1, False)}
    assert _choose(config, alone).equals == () and "above all others" in str(_choose(config, alone))


def test_a_transductive_model_is_no_rival_of_others(tmp_path, small):
    accuracy = np.random.default_rng(0).uniform(0.5, 0.9, 400)
    found = {"attention": Validated(accuracy, False), "raw": Validated(accuracy + 0.1, True)}
    chosen = _choose(small(tmp_path), found)
    assert (chosen.model, chosen.equals, chosen.no_rivals) == ("attention", (), ("raw",))
    assert "so no rivals: raw" in str(chosen)
    both = _choose(small(tmp_path), {m: x._replace(transductive=True) for m, x in found.items()})
    assert (both.model, both.no_rivals) == ("raw", ())


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
    assert capsys.readouterr().out == "of raw,soft_kmeans\n"
