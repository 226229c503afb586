"""The main job end to end on a small npz: results, resume to the same bits, bad input."""

import json
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import (
    build,
    command,
    dealer,
    devices,
    evaluate,
    fitting,
    inputs,
    jobs,
    methods,
    results,
    scoring,
    stability,
    train,
)
from experiments.benchmarks import steps
from experiments.configs import emoji, emoji_long, smoke
from experiments.kinds import KINDS
from experiments.stopping import Stop, Stopped
from fsjax.data.pool import make_pool
from fsjax.data.splits import split_by_digest
from fsjax.evaluation.abstention import share_answered, share_wrong
from fsjax.evaluation.figures import expected_calibration_error
from fsjax.training.loop import Diverged
from fsjax.training.state import train_chunk

ROOT = Path(__file__).parents[2]
OWN = "experiments/configs/own.py"


@pytest.fixture(scope="module")
def finished(tmp_path_factory, write_npz, small):
    folder = tmp_path_factory.mktemp("run")
    config = small(write_npz(folder / "data.npz"))
    return config, folder / "work", train.train(config, folder / "work")


def test_every_model_has_a_result_in_every_setting(finished):
    _, workdir, lines = finished
    rows = [line for line in lines if line["kind"] == "result"]
    assert {(r["model"], r["ways"], r["shots"]) for r in rows} == {
        (name, 3, shots) for name in ("attention", "tabular", "raw") for shots in (1, 2)
    }
    for row in rows:
        with np.load(workdir / scoring.episodes_file(row["model"], row)) as figures:
            assert row["accuracy"] == pytest.approx(figures["accuracy"].mean())
            assert len(figures["accuracy"]) == row["episodes"] == 20
        assert not row["transductive"] and row["ci95"] >= 0 and row["seed"] == 0


def test_comparisons_are_paired_on_the_same_episodes(finished):
    _, workdir, lines = finished
    pairs = [line for line in lines if line["kind"] == "comparison"]
    assert {p["against"] for p in pairs} == {"tabular", "raw"}
    figures = [
        np.load(workdir / "episodes" / f"{name}_3w1s_2q_20_apart.npz")["accuracy"]
        for name in ("attention", pairs[0]["against"])
    ]
    assert pairs[0]["difference"] == pytest.approx((figures[0] - figures[1]).mean())


def test_the_page_and_the_arrays_for_it_are_there(finished):
    _, workdir, _ = finished
    assert "attention" in (workdir / "report.html").read_text()
    with np.load(workdir / "inspection.npz") as shown:
        np.testing.assert_allclose(shown["attention"].sum(0), 1.0, rtol=1e-5)
        assert shown["confusion"].sum() > 0
        assert shown["attribution_shapley"].shape == shown["attribution_left_out"].shape == (200, 2)
    assert "Shapley value" in (workdir / "report.html").read_text()


def test_a_finished_run_run_again_computes_and_changes_nothing(finished, monkeypatch):
    config, workdir, lines = finished
    monkeypatch.setattr(jobs, "prepare", None)
    again = train.train(config, str(workdir))
    assert [results._identity(x) for x in again] == [results._identity(x) for x in lines]


def learned(workdir, name):
    """The metrics of a model, apart from how long they took."""
    lines = results.read_lines(workdir / "models" / name / "metrics.jsonl")
    minutes = [line.pop("minutes") for line in lines]
    assert minutes[0] > 0 and minutes == sorted(minutes)
    return lines


@pytest.fixture
def first_alone(finished):
    """The config of the first model of the run in its first setting."""
    config = finished[0].copy_and_resolve_references()
    config.update(compare="")
    config.test.settings = ((3, 1),)
    return config


def test_a_killed_run_resumes_to_the_same_bits(finished, first_alone, tmp_path, monkeypatch):
    _, workdir, _ = finished
    save = fitting.Checkpoints.save

    def die(self, state, metrics=None):
        save(self, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(fitting.Checkpoints, "save", die)
    with pytest.raises(KeyboardInterrupt):
        train.train(first_alone, tmp_path / "work")
    monkeypatch.undo()
    with pytest.raises(SystemExit, match="models/attention was interrupted at step 2 of 4: go on"):
        evaluate.main(["--workdir", str(tmp_path / "work")])
    assert not (tmp_path / "work" / "results.jsonl").exists()
    train.train(first_alone, tmp_path / "work")
    name = "episodes/attention_3w1s_2q_20_apart.npz"
    with np.load(workdir / name) as a, np.load(tmp_path / "work" / name) as b:
        assert all((a[key] == b[key]).all() for key in a)
    assert learned(workdir, "attention") == learned(tmp_path / "work", "attention")


def test_what_was_tested_is_kept_where_a_stop_came_meanwhile(
    finished, first_alone, tmp_path, monkeypatch
):
    _, workdir, _ = finished
    score, stop = scoring.test, Stop()

    def stopped_meanwhile(*given):
        lines = score(*given)
        stop.ask()
        return lines

    monkeypatch.setattr(scoring, "test", stopped_meanwhile)
    with pytest.raises(Stopped):
        train.train(first_alone, tmp_path / "work", stop)
    assert not (tmp_path / "work" / "results.jsonl").exists()
    monkeypatch.setattr(scoring, "test", None)
    (line,) = train.train(first_alone, tmp_path / "work")
    with np.load(workdir / "episodes/attention_3w1s_2q_20_apart.npz") as figures:
        assert line["accuracy"] == pytest.approx(figures["accuracy"].mean())


def test_training_does_not_see_the_test_classes(finished, first_alone, tmp_path, write_npz):
    """With other test data, every loss and validation is the same to the bit."""
    _, workdir, lines = finished
    test = [int(name) for name in split_by_digest([str(i) for i in range(60)])["test"]]
    with np.load(first_alone.data.path) as arrays:
        other = arrays["numbers"] + 9.0 * np.isin(arrays["cls"], test)[:, None] * arrays["numbers"]
    first_alone.data.path = str(write_npz(tmp_path / "data.npz", numbers=other))
    (alone,) = train.train(first_alone, tmp_path / "work")
    assert learned(workdir, "attention") == learned(tmp_path / "work", "attention")
    before = next(line for line in lines if (line["model"], line["shots"]) == ("attention", 1))
    assert alone["nll"] != before["nll"]


def test_a_trained_run_is_evaluated_in_other_settings(finished, tmp_path):
    _, workdir, _ = finished
    shutil.copytree(workdir, tmp_path / "work")
    workdir = tmp_path / "work"
    known = json.loads((workdir / "config.json").read_text())
    del known["test"]["unknown"]  # as a run of a version that did not have it
    (workdir / "config.json").write_text(json.dumps(known))
    command = ["--workdir", str(workdir), "--settings", "2x1", "--models", "tabular"]
    evaluate.main([*command, "--shared-groups", "--missing", "tabular:1.0>0.0"])
    for kind, added in zip(
        ("result", "missing"), results.read_lines(workdir / "results.jsonl")[-2:], strict=True
    ):
        assert (added["kind"], added["model"]) == (kind, "tabular")
        assert (added["ways"], added["shots"], added["apart"]) == (2, 1, False)
    assert added["accuracy"] == 0.5
    settings = ("2w1s_2q_20", "3w1s_2q_20_apart", "2w1s_2q_20_missing-tabular=1.0-to-0.0")
    files = {f"tabular_{setting}.npz" for setting in settings}
    assert files < {path.name for path in (workdir / "episodes").iterdir()}


def test_evaluation_calibrates_abstains_and_asks_for_unknown_classes(finished, tmp_path):
    workdir = tmp_path / "work"
    shutil.copytree(finished[1], workdir)
    command = ["--workdir", str(workdir), "--settings", "3x1", "--models", "raw"]
    evaluate.main([*command, "--calibrate", "--unknown", "2", "--risk", "0.2"])
    # The result itself is the one that stood there before.
    result, plain, calibrated, answered, wrong, opened = [
        line
        for line in results.read_lines(workdir / "results.jsonl")
        if line["model"] == "raw" and line["shots"] == 1 and line["kind"] != "comparison"
    ]
    assert [plain["calibrated"], calibrated["calibrated"]] == [False, True]
    assert plain["ece"] == result["ece"] and plain["temperature"] == 1.0
    assert calibrated["temperature"] != 1.0 and calibrated["nll"] < plain["nll"]
    assert 0 < answered["answered"] <= 1 and answered["risk"] == wrong["risk"] == 0.2
    assert wrong["wrong"] * answered["answered"] <= 1 - result["accuracy"] + 1e-6
    assert opened["unknown"] == 2 and 0 < opened["auroc"] <= 1
    assert "calibrated True" in (workdir / "report.html").read_text()
    evaluate.main(command)  # again without, which takes nothing of it away
    for kept, name, figure, line in (
        ("calibrated", "calibrated_reliability", expected_calibration_error, calibrated),
        ("risk 0.2", "answered", share_answered, answered),
        ("risk 0.2", "answered", share_wrong, wrong),
        ("unknown 2", "auroc", np.mean, opened),
    ):
        with np.load(workdir / scoring.episodes_file("raw", line | {"condition": kept})) as saved:
            assert figure(saved[name]) == pytest.approx(line[KINDS[line["kind"]].field])


def test_evaluation_refuses_a_folder_without_a_run_and_a_model_that_is_not_there(finished):
    with pytest.raises(SystemExit, match=r"no config\.json"):
        evaluate.main(["--workdir", "/nowhere"])
    with pytest.raises(SystemExit, match="did you mean 'tabular'"):
        evaluate.main(["--workdir", str(finished[1]), "--models", "tabulr"])


@pytest.mark.parametrize(
    ("flags", "key"),
    [
        (["--queries", "0"], "test.queries=0 must be 1 or more"),
        (["--episodes", "0"], "test.episodes=0 must be 2 or more"),
        (["--episodes", "1"], "test.episodes=1 must be 2 or more"),
        (["--unknown", "-1"], "test.unknown=-1 must be 0 or more"),
        (["--settings", "0x1"], "test asks for 0 ways"),
        (["--settings", "3x3-1"], r"test asks for 3 ways and \(3, 1\) shots"),
        (["--settings", "3x0"], "test asks for 0 shots, from which attention, tabular, raw cannot"),
        (
            ["--settings", "3x0-2", "--models", "raw"],
            "test asks for 0 shots, from which raw cannot",
        ),
    ],
)
def test_evaluation_refuses_impossible_numbers_before_anything_is_read(
    finished, flags, key, monkeypatch
):
    monkeypatch.setattr(build.data, "read", None)
    with pytest.raises(SystemExit, match=rf"config\.{key}"):
        evaluate.main(["--workdir", str(finished[1]), *flags])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("validation.queries", 0),
        ("validation.episodes", 0),
        ("train.queries", -1),
        ("train.chunk", 0),
        ("train.tasks", 0),
        ("train.block", -1),
        ("data.ahead", 0),
        ("train.patience", -1),
        ("data.text_length", 0),
        ("workers", -1),
        ("seed", 2**32),
        ("test.settings", ()),
        ("test.settings", (5, 1)),
        ("test.settings", ((3.0, 1),)),
        ("test.settings", ((3, "a"),)),
        ("test.settings", ((3, (1, 2, 3)),)),
        ("inner.test_steps", -3),
        ("finetune.steps", 0),
        ("generation.rows", -1),
        ("generation.weight", -1.0),
        ("generation.critic_steps", 0),
        ("generation.curve", "0-5"),
    ],
)
def test_training_refuses_impossible_numbers(finished, tmp_path, key, value):
    config = finished[0].copy_and_resolve_references()
    config.update_from_flattened_dict({key: value})
    with pytest.raises(ValueError, match=re.escape(f"config.{key}={value} must be")):
        train.train(config, tmp_path / "work")


def test_settings_are_ways_and_shots_or_few_to_many():
    assert evaluate.setting("5x1") == (5, 1) and evaluate.setting("5x1-3") == (5, (1, 3))
    with pytest.raises(ValueError, match="invalid literal"):
        evaluate.setting("5x1-")


@pytest.mark.parametrize("shots", ["1-3", 1.5, (3, 1), (1,), ("a", "b")])
def test_training_refuses_shots_that_are_no_number_nor_few_to_many(finished, shots):
    config = finished[0].copy_and_resolve_references()
    config.train = {**config.train, "shots": shots}
    with pytest.raises(ValueError, match=r"config\.train asks for 4 ways and .*as \(1, 3\)"):
        build.numbers.check_numbers(config)


def test_classes_of_a_training_episode_have_few_shots_to_many(finished, small):
    config = small(finished[0].data.path, shots=(1, 3))
    pool = make_pool(build.tables(config)["train"])
    episodes = dealer.training_tasks(config, pool)
    given = [episodes(jax.random.key(seed)).support.labels.sum((0, 1)) for seed in range(8)]
    assert set(np.ravel(given)) == {1, 2, 3}


@pytest.mark.parametrize(("modalities", "key"), [("tabular", "warp"), ("image", "cross")])
def test_changes_of_what_no_episode_has_are_refused(finished, tmp_path, modalities, key):
    config = finished[0].copy_and_resolve_references()
    config.update(modalities=modalities, compare="raw")
    config.train[key] = 0.2
    with pytest.raises(ValueError, match=rf"config\.train\.{key}=0\.2 .*{modalities}"):
        train.train(config, tmp_path / "work")


def test_models_that_are_told_what_classes_are_need_no_shot(finished):
    config = finished[0].copy_and_resolve_references()
    config.update(learner="described", compare="raw")
    config.test.settings = ((3, 0),)
    build.numbers.check_numbers(config, ["described"])
    with pytest.raises(ValueError, match="from which raw cannot"):
        build.numbers.check_numbers(config)
    config.update(learner="hallucinate", compare="")
    with pytest.raises(ValueError, match="or hallucinate and pictures where"):
        build.numbers.check_numbers(config)
    config.generation.condition = "side"
    build.numbers.check_numbers(config)


def test_a_run_that_was_killed_before_its_first_checkpoint_neither_tests_nor_predicts(
    finished, tmp_path
):
    workdir = tmp_path / "work"
    shutil.copytree(finished[1], workdir, ignore=shutil.ignore_patterns("models"))
    with pytest.raises(SystemExit, match="models/tabular holds no checkpoint"):
        evaluate.main(["--workdir", str(workdir), "--models", "tabular"])
    with pytest.raises(ValueError, match="models/tabular holds no checkpoint"):
        methods.of_run(workdir, "tabular")


def test_a_work_directory_of_another_config_is_refused(finished):
    config, workdir, _ = finished
    other = config.copy_and_resolve_references()
    other.train.ways = 5
    with pytest.raises(SystemExit, match=r"train\.ways was 4 and is 5"):
        train.train(other, workdir)


def test_a_work_directory_that_cannot_be_made_is_named(finished, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=r"cannot write the work directory .*file"):
        train.train(finished[0], tmp_path / "file" / "work")


def test_a_loss_that_becomes_nan_stops_the_run_and_names_the_step(finished, tmp_path):
    config = finished[0].copy_and_resolve_references()
    config.update(compare="")
    config.train.update(learning_rate=1e30)
    with pytest.raises(Diverged, match=r"at step [0-3].*last good checkpoint is kept"):
        train.train(config, tmp_path / "work")


def test_supervised_training_serves_heads_that_were_never_trained_on_episodes(finished, tmp_path):
    config = finished[0].copy_and_resolve_references()
    config.update(objective="supervised", head="simpleshot", compare="")
    config.update(modalities="tabular", fusion="plain")
    config.train.update(steps=2, rows=16, drop=0.0)
    config.test.update(settings=((3, 1),), patterns="tabular>tabular")
    result, same = train.train(config, tmp_path / "work")
    assert result["model"] == "simpleshot" and 0 < result["accuracy"] <= 1
    assert (same["kind"], same["accuracy"]) == ("cross", pytest.approx(result["accuracy"]))
    config.head = "matching"
    with pytest.raises(ValueError, match="has none without support rows"):
        train.train(config, tmp_path / "other")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("fusion", "atention", "did you mean 'attention'"),
        ("compare", "image,sound", "config.compare='sound' is not one of"),
        ("objective", "superviced", "did you mean 'supervised'"),
        ("norm", "batch", "config.norm='batch' is not one of group"),
        ("modalities", "image,tabular,smell", "the data has no modality smell"),
    ],
)
def test_names_that_nothing_has_are_refused(finished, tmp_path, key, value, message):
    config = finished[0].copy_and_resolve_references()
    config[key] = value
    with pytest.raises(ValueError, match=message):
        train.train(config, tmp_path / "work")


def test_parts_that_do_not_fit_are_refused_before_any_model_is_trained(finished, tmp_path):
    config = finished[0].copy_and_resolve_references()
    config.compare = "relation,anil+late"
    with pytest.raises(ValueError, match=r"anil\+late: config.fusion='late' adds"):
        train.train(config, tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_a_learner_of_fixed_ways_says_so_before_it_is_trained(finished, tmp_path):
    config = finished[0].copy_and_resolve_references()
    config.update(learner="maml", compare="")
    with pytest.raises(ValueError, match=r"test episodes, 3-way 1-shot: .*learned for 4 ways"):
        train.train(config, tmp_path / "work")
    assert not list((tmp_path / "work").glob("models/*/metrics.jsonl"))


def test_learners_that_take_gradient_steps_are_trained_and_show_what_each_step_is_worth(
    finished, tmp_path
):
    config = finished[0].copy_and_resolve_references()
    config.update(learner="maml_pp", compare="", modalities="tabular", fusion="plain")
    config.inner.update(steps=2, test_steps=3, first_order=0.5)
    config.train.update(steps=2, tasks=2, ways=3)
    config.validation.update(ways=3, episodes=2)
    config.test.update(episodes=4, settings=((3, 1),))
    lines = train.train(config, tmp_path / "work")
    (result,) = (line for line in lines if line["kind"] == "result")
    (curve,) = (line for line in lines if line["kind"] == "adaptation")
    assert result["model"] == curve["model"] == "maml_pp"
    assert len(curve["accuracies"]) == len(curve["ci95s"]) == 4
    assert curve["accuracies"][-1] == pytest.approx(result["accuracy"])
    file = scoring.episodes_file("maml_pp", curve | {"condition": "adaptation"})
    with np.load(tmp_path / "work" / file) as saved:
        np.testing.assert_allclose(saved["accuracy_by_step"].mean(0), curve["accuracies"])
    assert "Test accuracy by inner steps, 3-way" in (tmp_path / "work/report.html").read_text()


@pytest.fixture(scope="module")
def hallucinated(finished, tmp_path_factory):
    config = finished[0].copy_and_resolve_references()
    config.update(learner="hallucinate", head="triangular", modalities="tabular", fusion="plain")
    config.update(compare="prototype")
    config.base.update(steps=2, share=0.5)
    config.generation.update(rows=2, curve="0,2")
    config.train.steps = 2
    config.test.update(episodes=4, settings=((3, 1),))
    workdir = tmp_path_factory.mktemp("hallucinated")
    return config, workdir, train.train(config, workdir)


def test_models_with_and_without_generator_are_trained_at_the_features_of_one_network(hallucinated):
    config, workdir, _ = hallucinated
    train_split = make_pool(build.tables(config)["train"])
    networks = [
        fitting.trained_params(jobs.prepare(variant, train_split), workdir / folder)["network"]
        for folder, variant in [
            ("base", build.base(config)),
            *((f"models/{name}", variant) for name, variant in build.models(config).items()),
        ]
    ]
    assert len(networks) == 3
    for network in networks[1:]:
        jax.tree.map(np.testing.assert_array_equal, networks[0], network)


def test_other_numbers_of_synthetic_rows_are_tested_too(hallucinated):
    _, workdir, lines = hallucinated
    results = {line["model"]: line for line in lines if line["kind"] == "result"}
    curves = {line["model"]: line for line in lines if line["kind"] == "synthetic"}
    assert set(results) == {"hallucinate", "prototype"}
    assert set(curves) == {"hallucinate"} and curves["hallucinate"]["rows"] == [0, 2]
    accuracy = results["hallucinate"]["accuracy"]
    assert curves["hallucinate"]["accuracies"][1] == pytest.approx(accuracy)
    told = curves["hallucinate"] | {"condition": "synthetic"}
    with np.load(workdir / scoring.episodes_file("hallucinate", told)) as saved:
        assert saved["accuracy_0"].mean() == pytest.approx(curves["hallucinate"]["accuracies"][0])
    page = (workdir / "report.html").read_text()
    assert "Test accuracy by synthetic rows of a class, 3-way" in page


def test_several_seeds_of_a_generator_are_trained_at_once_and_told_apart(hallucinated, capsys):
    _, workdir, _ = hallucinated
    stability.main(["--workdir", str(workdir), "--model", "hallucinate", "--seeds", "2"])
    *seeds, last = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in seeds] == ["seed 0", "seed 1"]
    assert seeds[0][8:] != seeds[1][8:]
    assert re.match(r"(2 of 2 seeds converged|1 of 2|no seed)", last)
    with pytest.raises(SystemExit, match="critic"):
        stability.main(["--workdir", str(workdir), "--model", "prototype"])


def test_each_seed_of_a_generator_is_validated_as_a_run_of_that_seed(finished, tmp_path):
    config = finished[0].copy_and_resolve_references()
    config.update(learner="hallucinate", modalities="tabular", fusion="plain", compare="")
    config.validation.update(ways=6, episodes=100)
    config.test.update(episodes=4, settings=((3, 1),))
    told = [one.accuracy for one in stability.run_seeds(config, tmp_path, seeds=2)]
    for seed, accuracy in enumerate(told):
        config.seed = seed
        train.train(config, tmp_path / str(seed))
        (log,) = (tmp_path / str(seed)).glob("models/*/metrics.jsonl")
        assert accuracy == pytest.approx(results.read_lines(log)[-1]["validation"], abs=0.005)


@pytest.mark.parametrize(("objective", "steps"), [("episodic", 2), ("own", 0)])
def test_a_generator_whose_critic_is_not_trained_cannot_be_tried(hallucinated, objective, steps):
    config = hallucinated[0].copy_and_resolve_references()
    config.update(objective=objective, head="prototype")
    config.train.steps = steps
    with pytest.raises(ValueError, match=f"{objective}.* trains no critic"):
        stability.run_seeds(config, hallucinated[1], seeds=2)


def test_a_generator_is_tried_on_the_devices_of_its_run(tmp_path, make_bare, monkeypatch):
    made = []
    monkeypatch.setattr(devices, "cores_as_devices", lambda config: made.append(config.devices))
    run = make_bare(tmp_path / "run", devices=2)
    with pytest.raises(SystemExit, match="critic"):
        stability.main(["--workdir", str(run), "--model", "attention"])
    assert made == [2]
    with pytest.raises(SystemExit, match=": --model='hallucinate' is not one of attention"):
        stability.main(["--workdir", str(run)])


@pytest.mark.parametrize(
    ("finite", "distance", "slope", "what"),
    [
        (True, 2.0, 1.1, ""),
        (False, 2.0, 1.1, "not finite"),
        (True, 2.0, 2.1, "slope"),
        (True, 2.0, float("nan"), "slope"),
        (True, -24.0, 0.7, "distance"),
    ],
)
def test_a_critic_that_diverges_is_told_from_one_that_converges(finite, distance, slope, what):
    said = stability.trouble(finite, distance, slope)
    assert said.startswith(what) and bool(said) == bool(what)


def test_evaluating_and_predicting_know_which_classes_the_base_had_for_itself(
    hallucinated, monkeypatch
):
    config, workdir, _ = hallucinated
    _, others = build.base_tables(config, build.tables(config)["train"])
    assert inputs.noted(workdir, config).classes == len(others.classes)

    def prepared(variant, pool):
        (source,) = pool.sources.values()
        raise ValueError(f"{len(source.count)} classes")

    monkeypatch.setattr(jobs, "prepare", prepared)
    with pytest.raises(ValueError, match=f"^{len(others.classes)} classes"):
        evaluate.evaluate_run(workdir, config, config)


def test_base_and_models_have_different_classes_where_they_are_to_share_them(finished):
    config = finished[0].copy_and_resolve_references()
    whole = build.tables(config)["train"]
    config.base.share = 0.5
    base, models = build.base_tables(config, whole)
    assert set(base.classes) ^ set(models.classes) == set(whole.classes)
    assert 0.3 < len(base.classes) / len(whole.classes) < 0.7
    config.base.share = 0.01
    with pytest.raises(ValueError, match="the base part of the train split: "):
        build.base_tables(config, whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learner": "proto_maml"}, "take config.learner=metric"),
        ({"norm": "episode"}, "norm"),
        ({"compare": "tabular"}, "'tabular' has another one"),
        ({"compare": "simpleshot"}, "none of the heads simpleshot"),
        ({"compare": "views"}, r"views: .*config\.base\.begins=tuned"),
        ({"base.objective": "supervisd"}, r"config\.base: .*mean 'supervised'"),
        ({"base.objective": "supervised", "train.drop": 0.3}, r"config\.base: config\.train\.drop"),
    ],
)
def test_what_cannot_be_trained_at_the_features_of_a_base_says_so_before_it_is_trained(
    finished, tmp_path, changes, message
):
    config = finished[0].copy_and_resolve_references()
    config.update_from_flattened_dict({"compare": "", "base.steps": 1} | changes)
    with pytest.raises(ValueError, match=message):
        train.train(config, tmp_path / "work")
    assert not (tmp_path / "work" / "base").exists()


def test_a_base_that_is_tuned_is_where_a_model_begins_and_not_where_it_stays(
    tmp_path, small, write_npz
):
    config = small(write_npz(tmp_path / "data.npz"))
    config.update(modalities="tabular", fusion="plain", compare="", objective="leave_one_out")
    config.base.update(steps=1, objective="supervised", begins="tuned")
    alone = build.base(config)
    assert (alone.objective, alone.head, alone.base.steps) == ("supervised", "prototype", 0)
    pool = make_pool(build.tables(config)["train"])
    own = jobs.prepare(config, pool)
    base = jax.tree.map(lambda x: x + 1, own.state.params["network"])
    job = jobs.prepare(config, pool, base)
    jax.tree.map(np.testing.assert_array_equal, job.state.params["network"], base)
    assert not job.calibrated
    x = pool.sources["rows"].inputs
    slopes = jax.grad(lambda p: job.model.network.apply(p, x)[0].sum())(base)
    assert any(np.any(g) for g in jax.tree.leaves(slopes))


def test_a_share_of_first_order_is_nothing_to_what_is_trained_at_the_features_of_a_base(
    tmp_path, small, write_npz
):
    config = small(write_npz(tmp_path / "data.npz"))
    config.update(modalities="tabular", fusion="plain", compare="")
    config.base.steps = 1
    config.inner.first_order = 0.5
    pool = make_pool(build.tables(config)["train"])
    base = jobs.prepare(build.base(config), pool).state.params["network"]
    job = jobs.prepare(config, pool, base)
    jax.eval_shape(partial(train_chunk, num_steps=1, **jobs.trains_with(job)), job.state)


def test_too_few_rows_for_the_episodes_name_split_and_class(finished, tmp_path):
    config = finished[0].copy_and_resolve_references()
    config.test.settings = ((3, 5),)
    with pytest.raises(ValueError, match=r"the test split: class '\d+' has 6 rows"):
        train.train(config, tmp_path / "work")
    config.test.update(settings=((3, 1),), unknown=100)
    with pytest.raises(ValueError, match=r"the test split: .*103"):
        train.train(config, tmp_path / "work")


def test_nan_in_the_data_is_named(tmp_path, write_npz, small):
    bad = np.zeros((360, 2), np.float32)
    bad[7] = np.nan
    with pytest.raises(ValueError, match="numbers"):
        train.train(small(write_npz(tmp_path / "bad.npz", numbers=bad)), tmp_path / "work")


@pytest.mark.parametrize(
    ("wrong", "file"), [("train.stepz", ()), ("trian.steps", ("--config", OWN))]
)
def test_an_unknown_key_on_the_command_line_names_the_nearest(wrong, file):
    command = [sys.executable, "-m", "experiments.train", *file, f"--config.{wrong}=1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    near = {"train.stepz": "steps", "trian.steps": "train"}[wrong]
    assert done.returncode != 0 and f'; Did you mean "{near}"' in done.stderr
    assert "Traceback" not in done.stderr


def test_words_that_are_no_flags_are_refused():
    with pytest.raises(SystemExit, match=r"no flag: config\.seed=1; write --KEY=VALUE"):
        command.by_flags(print, ["train", "config.seed=1"])


def test_the_bench_times_chunks_single_steps_and_sampling(first_alone, monkeypatch):
    monkeypatch.setattr(steps, "REPEATS", 1)
    first_alone.update(modalities="tabular", fusion="plain")
    times = steps.measure(first_alone)
    assert set(times) == {"scanned chunk", "single steps", "sampling"}
    assert min(times.values()) > 0


@pytest.mark.parametrize("module", [emoji, emoji_long, smoke])
def test_configs_name_parts_that_exist(module):
    config = module.get_config()
    variants = build.models(config)
    assert next(iter(variants)) == "attention" and {"image", "concat"} < set(variants)
    assert all(build.model(variant).fast is not None for variant in variants.values())
    assert json.dumps(results.plain(config)) and jax.device_count()
