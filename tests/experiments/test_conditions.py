"""Models tested where modalities are missing, crossed or corrupted: on the same episodes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import build, conditions, dealer, report, results, scoring, tables, train
from experiments.build.conditions import check_conditions
from experiments.build.conditions import conditions as parse
from experiments.configs import emoji
from experiments.runs import read_run
from fsjax.data.pool import make_pool
from fsjax.data.stored import stored
from fsjax.data.table import Rows, Table
from fsjax.evaluation.present import best_present

MODELS = ("plain", "image", "tabular")


def write_npz(path):
    """Sixty classes of six rows, told apart by a picture and by two numbers."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(60), 6)
    shape, number = random.normal(size=(60, 3, 3, 1)), random.normal(size=(60, 2))
    pictures = 128 + 40 * (shape[labels] + 0.5 * random.normal(size=(360, 3, 3, 1)))
    numbers = number[labels] + 0.3 * random.normal(size=(360, 2))
    arrays = {"pictures": pictures.clip(0, 255).astype(np.uint8), "numbers": numbers}
    np.savez(path, cls=labels, **arrays)
    return path


def config_of(path, **test):
    """Both modalities as they are: nothing has to be learned."""
    config = emoji.get_config()
    config.data.update(name="npz", path=str(path), columns="image:pictures,tabular:numbers")
    config.update(modalities="image,tabular", compare="image,tabular", fusion="plain", apart=False)
    config.encoders.update(image="raw", tabular="raw")
    config.train.update(ways=4, queries=1)
    config.validation.update(ways=4, queries=1)
    config.test.update(settings=((4, 1),), episodes=30, **test)
    return config


@pytest.fixture(scope="module")
def tested(tmp_path_factory, result):
    """What is left of a run, and its lines under conditions."""
    workdir = tmp_path_factory.mktemp("run")
    config = config_of(
        write_npz(workdir / "data.npz"),
        missing="0.0,0.5,1.0,image:1.0>0.0",
        patterns="tabular>tabular,image>tabular",
        corrupt="tabular:snr:-20:query",
    )
    pools = {split: make_pool(part) for split, part in build.tables(config).items()}
    params = {"network": {}, "head": {"log_temperature": jnp.zeros(())}}
    lines = []
    for name, variant in build.models(config).items():
        modalities = variant.modalities.split(",")
        plain = result(name, ways=4, modalities=modalities, apart=False, episodes=30)
        scored = scoring.Scored(name, variant, build.model(variant), params, pools)
        lines += [plain, *conditions.test(scored, [plain], workdir)]
    lines += conditions.compare(MODELS, config, lines, workdir)
    results.write_lines(workdir / "results.jsonl", lines)
    return config, workdir, lines


def by_condition(lines, kind):
    found = {}
    for line in lines:
        if line["kind"] == kind:
            found.setdefault(line["condition"], {})[line["model"], line.get("against")] = line
    return found


def test_every_model_has_a_result_under_every_condition_and_what_is_saved_gives_it(tested):
    _, workdir, lines = tested
    counts = {"missing": 4, "cross": 2, "corrupt": 1}
    for kind, count in counts.items():
        found = by_condition(lines, kind)
        names = {*MODELS, conditions.BEST_PRESENT} if kind == "missing" else set(MODELS)
        assert len(found) == count and all({m for m, _ in each} == names for each in found.values())
        for line in (line for each in found.values() for line in each.values()):
            with np.load(workdir / scoring.episodes_file(line["model"], line)) as figures:
                assert line["accuracy"] == pytest.approx(figures["accuracy"].mean())
                assert len(figures["accuracy"]) == line["episodes"] == 30


def test_differences_are_paired_under_the_same_condition(tested):
    _, _, lines = tested
    for kind in ("missing", "cross", "corrupt"):
        accuracies = by_condition(lines, kind)
        for condition, pairs in by_condition(lines, f"{kind}_comparison").items():
            rivals = {"image", "tabular"} | ({"best present"} if kind == "missing" else set())
            assert set(pairs) == {("plain", rival) for rival in rivals}
            for (model, against), line in pairs.items():
                ours, theirs = (accuracies[condition][name, None] for name in (model, against))
                expected = ours["accuracy"] - theirs["accuracy"]
                assert line["difference"] == pytest.approx(expected)


def test_what_is_missing_is_guessed_at_by_who_sees_nothing_else(tested):
    _, _, lines = tested
    found = by_condition(lines, "missing")
    without = found["missing image:1.0>0.0"]
    assert without["image", None]["accuracy"] == 0.25
    assert without["tabular", None] == without["tabular", None] | {
        "accuracy": found["missing 0.0"]["tabular", None]["accuracy"]
    }
    assert without["best present", None]["accuracy"] == without["tabular", None]["accuracy"]
    crossed = by_condition(lines, "cross")
    assert crossed["image>tabular"]["image", None]["accuracy"] == 0.25
    assert crossed["image>tabular"]["tabular", None]["accuracy"] == 0.25
    own = crossed["tabular>tabular"]
    assert own["tabular", None]["accuracy"] == without["tabular", None]["accuracy"]


def test_all_models_miss_the_same_rows_and_the_best_present_is_made_of_theirs(tested):
    _, workdir, lines = tested
    saved = {}
    for name in MODELS:
        line = by_condition(lines, "missing")["missing 1.0"][name, None]
        saved[name] = dict(np.load(workdir / scoring.episodes_file(name, line)))
    alone = ("image", "tabular")
    seen = {name: saved[name]["covered"] > 0 for name in alone}
    # Where each row has one modality, no query is seen by both, and none is without an answer
    # unless no support row has its modality.
    assert not (seen["image"] & seen["tabular"]).any() and seen["image"].any()
    parts = ({m: saved[m][part] for m in alone} for part in ("correct", "covered", "skill"))
    expected = best_present(*parts, ways=4).mean()
    best = by_condition(lines, "missing")["missing 1.0"]["best present", None]
    assert best["accuracy"] == pytest.approx(expected)
    assert (saved["plain"]["covered"] == 1).all()


def test_corruption_harms_who_sees_the_modality_and_nobody_else(tested):
    _, _, lines = tested
    found, clean = by_condition(lines, "corrupt"), by_condition(lines, "missing")["missing 0.0"]
    noisy = found["tabular:snr:-20:query"]
    assert noisy["tabular", None]["accuracy"] < clean["tabular", None]["accuracy"] - 0.1
    assert noisy["image", None]["accuracy"] == clean["image", None]["accuracy"]


def test_the_report_has_a_curve_and_tables_of_conditions(tested):
    _, workdir, lines = tested
    page = report.page([read_run(workdir)])
    assert "Test accuracy by rate of missing modalities, 4-way 1-shot" in page
    assert "best present" in page
    heads = [grid.written({}, "{} *")[0] for grid in tables.grids(lines)]
    assert ["model", "missing 0.0", "missing 0.5", "missing 1.0", "missing image:1.0>0.0"] in heads
    assert ["model", "query tabular"] in heads
    assert ["difference", "corrupt tabular:snr:-20:query"] in heads


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("missing", "0.5,1.5", r"'1.5' must be within 0..1"),
        ("missing", "imag:0.5", "did you mean 'image'"),
        ("missing", "image:half", "wants a number, not 'half'"),
        ("patterns", "image", "text>image"),
        ("patterns", "image>tabula", "did you mean 'tabular'"),
        ("corrupt", "image:nose:1", "did you mean 'noise'"),
        ("corrupt", "image:occlusion:2", "within 0..1"),
        ("corrupt", "image:noise", "wants a number"),
        ("corrupt", "image:noise:1:suport", "did you mean 'support'"),
        ("corrupt", "tabular:occlusion:0.5", "tabular is of shape"),
    ],
)
def test_conditions_that_cannot_be_are_refused_before_any_work(
    tested, tmp_path, key, value, message
):
    config = tested[0].copy_and_resolve_references()
    config.test.update({"missing": "", "patterns": "", "corrupt": "", key: value})
    with pytest.raises(ValueError, match=message):
        train.train(config, tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_a_condition_changes_presence_and_not_what_is_drawn(tested):
    config = tested[0]
    rows = make_pool(build.tables(config)["test"])
    plain = dealer.episodes(config, rows, ways=4, shots=1, queries=2)
    (missing, *_), key = parse(config.test, ("image", "tabular")), jax.random.key(3)
    changed = conditions.changed(
        plain, missing._replace(amounts=jax.tree.map(jnp.ones_like, missing.amounts))
    )
    assert jax.tree.leaves(changed)
    before, after = jax.jit(lambda a, b: (a(key), b(key)))(plain, changed)
    for ours, theirs in (
        (before.query, after.query),
        (before.support.inputs, after.support.inputs),
    ):
        jax.tree.map(np.testing.assert_array_equal, ours.values, theirs.values)
        assert sum(theirs.present.values()).tolist() == [1] * len(theirs.present["image"])
    again = parse(config.test, ("image", "tabular"))[0]
    assert again.change == missing.change and hash(again.change) == hash(missing.change)


def test_training_tasks_are_crossed_where_the_config_asks_for_it(tested):
    config = tested[0].copy_and_resolve_references()
    config.train.update(cross=1.0, tasks=2)
    rows = make_pool(build.tables(config)["train"])
    task = jax.jit(lambda tasks, key: tasks(key))(
        dealer.training_tasks(config, rows), jax.random.key(0)
    )
    support, query = task.support.inputs.present, task.query.present
    for name, other in (("image", "tabular"), ("tabular", "image")):
        np.testing.assert_array_equal(support[name], query[other])
        assert (support[name] == support[name][:, :1]).all()


def half_seen(pool):
    """Every other row without its picture."""
    source = pool.sources["rows"]
    present = source.inputs.present
    present = present | {"image": present["image"] * (jnp.arange(len(present["image"])) % 2)}
    return pool._replace(
        sources={"rows": source._replace(inputs=source.inputs._replace(present=present))}
    )


def test_rows_that_a_model_cannot_see_are_padding_in_training_and_in_a_plain_test(tmp_path):
    config = config_of(write_npz(tmp_path / "data.npz"), missing="0.0", calibrate=True, unknown=2)
    variant = build.models(config)["image"]
    pools = {split: half_seen(make_pool(part)) for split, part in build.tables(config).items()}
    batch = dealer.training_tasks(variant, pools["train"])(jax.random.key(0))
    for labels, rows in (
        (batch.support.labels, batch.support.inputs),
        (batch.targets, batch.query),
    ):
        np.testing.assert_array_equal(labels.any(-1), rows.present["image"] > 0)
    both = dealer.training_tasks(config, pools["train"])(jax.random.key(0))
    assert both.support.labels.any(-1).all() and both.targets.any(-1).all()

    rows = dealer.training_rows(variant, pools["train"])(jax.random.key(0))
    np.testing.assert_array_equal(rows.targets.any(-1), rows.inputs.present["image"] > 0)

    params = {"network": {}, "head": {"log_temperature": jnp.zeros(())}}
    scored = scoring.Scored("image", variant, build.model(variant), params, pools)
    plain, *more = scoring.test(scored, tmp_path)
    (same,) = conditions.test(scored, [plain], tmp_path)
    assert plain["accuracy"] == pytest.approx(same["accuracy"])
    (unknown,) = (line for line in more if line["kind"] == "open_set")
    assert np.isfinite([plain["nll"], plain["ece"], unknown["auroc"]]).all()


def test_streamed_rows_are_not_read_to_see_whether_they_can_be_corrupted():
    opened = []

    def picture(number):
        opened.append(number)
        return np.zeros((3, 3, 1), np.uint8)

    values = {"image": stored(4, picture), "tabular": np.zeros((4, 2), np.float32)}
    ones, each = dict.fromkeys(values, np.ones(4, np.float32)), np.arange(4)
    test = Table(("a", "b"), {"rows": Rows(values, ones, each % 2, each)}, {})
    check_conditions(config_of("", corrupt="image:noise:1.0"), test)
    with pytest.raises(ValueError, match="cannot be corrupted so"):
        check_conditions(config_of("", corrupt="image:bytes:0.5"), test)
    assert opened == [0]  # the first, which all others look like


@pytest.mark.parametrize("how", ["occlusion:0.5", "bytes:0.5", "babble:0"])
def test_features_of_a_frozen_encoder_are_corrupted_as_rows_of_numbers_alone(how):
    codes = {"bytes:0.5": np.ones((4, 3), np.int32), "babble:0": np.ones((4, 3, 3), np.float32)}
    values = {"image": codes.get(how, np.zeros((4, 3, 3, 1), np.uint8))}
    values["tabular"] = np.zeros((4, 2), np.float32)
    ones, each = dict.fromkeys(values, np.ones(4, np.float32)), np.arange(4)
    test = Table(("a", "b"), {"rows": Rows(values, ones, each % 2, each)}, {})
    config = config_of("", corrupt=f"image:{how}")
    check_conditions(config, test)
    config.frozen = "image:efficientnet_lite0"
    with pytest.raises(ValueError, match="rows of features, by"):
        check_conditions(config, test)
    config.test.corrupt = "image:noise:1.0"
    check_conditions(config, test)
