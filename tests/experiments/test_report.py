"""The page: its figures, that it stands alone, and what it says where parts are missing."""

import html
import html.parser
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import gallery, plots, report
from experiments.results import write_lines
from experiments.runs import read_run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def page(run):
    report.write_report([run], run / "report.html")
    return (run / "report.html").read_text()


class Elements(html.parser.HTMLParser):
    """Collects tags and attributes, and checks that elements close in order."""

    def __init__(self, page):
        super().__init__()
        self.found, self.open = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_well_formed_and_stands_alone(page):
    elements = Elements(page)
    assert not elements.open
    assert not {"script", "link", "iframe", "img"} & {tag for tag, _ in elements.found}
    for _, attributes in elements.found:
        for key in ("href", "xlink:href", "src"):
            assert attributes.get(key, "#").startswith(("#", "data:"))
    assert "@import" not in page and set(re.findall(r"url\((.)", page)) <= {"#"}
    links = {link for link in re.findall(r"https?://[^\s\"'<]+", page)}
    assert links <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_page_shows_every_part_with_alternative_text(page):
    figures = [attributes for tag, attributes in Elements(page).found if tag == "svg"]
    assert len(figures) == 8 and all(f["role"] == "img" and f["aria-label"] for f in figures)
    assert page.count("data:image/png") == 20  # the drawings of the episode
    for text in ("<strong>88.4 ± 0.6</strong>", "8 of 10 queries right", "mean audio", "5b6d0a3"):
        assert text in page
    assert 'class="missing"' not in page and "prefers-color-scheme:dark" in page
    assert "On 5-way 1-shot episodes of emoji, attention names 88.4 ± 0.6 %" in page
    assert "they differ by +1.6 ± 0.7 points." in page


def test_the_first_sentence_says_of_transductive_results_that_they_are(tmp_path, result):
    lines = [result(), result("image", 0.9, transductive=True)]
    write_lines(tmp_path / "results.jsonl", lines)
    page = report.page([read_run(tmp_path)])
    assert "the best of the others, image (transductive), 90.0 %" in page


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("equal", "Test accuracy by synthetic rows of a class, 5-way 1-shot"),
        ("missing", "Test accuracy by rows up to which synthetic ones fill a class, 5-way 1-shot"),
    ],
)
def test_a_curve_says_what_its_numbers_count(tmp_path, make_bare, result, weights, words):
    folder = make_bare(tmp_path / "run", generation={"weights": weights})
    line = {**result(), "kind": "synthetic", "rows": [0, 5], "accuracies": [0.5, 0.6]}
    write_lines(folder / "results.jsonl", [result(), line | {"ci95s": [0.1, 0.1]}])
    assert words in report.page([read_run(folder)])


def test_the_first_sentence_says_of_which_of_several_runs_and_seeds_it_is(tmp_path, make_bare):
    runs = [read_run(make_bare(tmp_path / f"seed={seed}", seed=seed)) for seed in range(2)]
    assert "attention (seed 0) names 88.4" in report.page(runs)
    runs = [*runs, read_run(make_bare(tmp_path / "group", norm="group"))]
    assert f"attention (run {tmp_path.name}, seed 0) names 88.4" in report.page(runs)


@pytest.mark.parametrize("kind", ["adaptation", "synthetic"])
def test_figures_by_steps_and_by_synthetic_rows_are_of_the_same_episodes(tmp_path, result, kind):
    line = {**result("maml"), "kind": kind, "accuracies": [0.5, 0.6], "ci95s": [0.1, 0.1]}
    other = line | {"model": "anil", "accuracies": [0.3, 0.4]}
    asked_otherwise = line | {"queries": 1, "episodes": 20, "accuracies": [0.8, 0.9]}
    results = [result("maml"), result("anil")]
    write_lines(tmp_path / "results.jsonl", [*results, line, other, asked_otherwise])
    assert "maml 50.0%, 60.0%; anil 30.0%, 40.0%." in report.page([read_run(tmp_path)])


def test_page_escapes_text(page):
    assert "run &lt;1&gt;" in page and "run <1>" not in page
    assert "grapes &amp; &lt;b&gt;vine&lt;/b&gt;" in page and "<b>" not in page
    assert "$ign of the $un" in page


def test_names_that_look_like_styles_stay_as_they_are():
    names = ["font: serif, bold", "#1f2430"]
    svg = plots.confusion(np.eye(2), names, alt="names")
    Elements(svg)  # whose tags all close
    assert all(svg.count(f">{name}<") == 2 for name in names)


def test_figures_take_their_colours_from_the_page(page):
    body = page.split("</style></head>")[1]
    assert not set(re.findall(r"#[0-9a-f]{6}\b", body)) - {"#fffffe"}


def test_the_command_overrides_what_differs_from_the_default(tmp_path, page, make_bare):
    assert "python -m experiments.train --workdir runs/again</pre>" in page
    folder = make_bare(tmp_path / "run", seed=3, compare="image, text")
    text = html.unescape(report.page([read_run(folder)]))
    assert "runs/again \\\n    '--config.compare=image, text' \\\n    --config.seed=3</pre>" in text
    folder = make_bare(tmp_path / "other", colour="blue")
    assert "--config FILE" in report.page([read_run(folder)])


def test_no_two_of_all_results_are_told_alike(tmp_path, result):
    lines = [result(), result(queries=1), result(apart=False), result(episodes=20)]
    write_lines(tmp_path / "results.jsonl", lines)
    every = report.page([read_run(tmp_path)]).split("Every result")[1]
    rows = re.findall(r"<tr><th scope=\"row\">attention.*?88.40", every)
    assert len(set(rows)) == len(lines)


def test_page_says_what_is_missing(tmp_path, make_bare, all_lines):
    folder = make_bare(tmp_path / "run")
    (folder / "results.jsonl").unlink()
    page = report.page([read_run(folder)])
    for words in (
        "No results yet.",
        "No training loss by step: not in models/*/metrics.jsonl",
        "No figure by ways or shots",
        "No confusion matrix: not in inspection.npz",
        "No picture of an episode",
        "No attention by modality",
    ):
        assert words in page
    write_lines(folder / "results.jsonl", all_lines)
    (folder / "config.json").unlink()
    assert "No settings: config.json is not there" in report.page([read_run(folder)])


def test_page_without_images_attention_and_validation(tmp_path, make_run):
    folder = make_run(tmp_path / "run")
    arrays = dict(np.load(folder / "inspection.npz"))
    kept = {k: v for k, v in arrays.items() if k != "picture_images" and "attention" not in k}
    np.savez(folder / "inspection.npz", **kept)
    line = {"step": 1, "loss": 1.0, "validation": float("nan")}
    for log in folder.glob("models/*/metrics.jsonl"):
        write_lines(log, [line])
    page = report.page([read_run(folder)])
    assert "data:image" not in page and "No attention by modality" in page
    assert "No validation accuracy" in page and "Training loss by step" in page


def test_pictures_that_a_generator_made_stand_beside_real_ones(tmp_path, make_run):
    folder = make_run(tmp_path / "run")
    arrays = dict(np.load(folder / "inspection.npz"))
    assert "Synthetic pictures" not in report.page([read_run(folder)])
    made = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 6, 1), np.uint8)
    parts = {"support": made[:, :1], "query": made[:, 1:3], "synthetic": made}
    shown = {f"gallery_{name}": part for name, part in parts.items()}
    names = np.array(["oak", "elm & ash", "yew"])
    np.savez(folder / "inspection.npz", **arrays, **shown, gallery_classes=names)
    page = report.page([read_run(folder)])
    assert "Synthetic pictures" in page and "Classes: oak, elm &amp; ash, yew." in page
    assert page.count("data:image/png") == 20 + len(parts)
    for title in ("support", "queries", "synthetic"):
        assert f">{title}<" in page


def test_each_picture_of_a_gallery_stands_in_the_row_of_its_class():
    pictures = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5, 1).astype(np.uint8)
    mosaic = gallery.mosaic(pictures)
    assert mosaic.shape == (2 * 8, 3 * 9, 4)
    np.testing.assert_array_equal(mosaic[10:14, 11:16, 1], pictures[1, 1, ..., 0])
    assert mosaic[..., 3].sum() == 255 * pictures.size


def test_page_of_several_runs_shows_how_all_of_them_learned(tmp_path, make_run):
    runs = [read_run(make_run(tmp_path / name)) for name in ("one", "two")]
    page = report.page(runs)
    assert "Learning, all runs" in page and "one: " in page and "two: " in page
    assert "Learning, all runs" not in report.page(runs[:1])
    assert "Validation accuracy by minutes of training" in page


def test_runs_in_folders_of_one_name_are_told_apart(tmp_path, make_run):
    folders = [tmp_path / parent / "run" for parent in ("one", "two")]
    for folder in folders:
        folder.mkdir(parents=True)
    page = report.page([read_run(make_run(folder)) for folder in folders])
    for folder in folders:
        assert f"{folder}: image 0." in page and f"<h2>{folder}</h2>" in page


def test_command_writes_three_files_and_prints_the_table(tmp_path, capsys, make_bare):
    run = make_bare(tmp_path / "run")
    report.main([str(run), "--out", str(tmp_path / "deep" / "page.html")])
    assert {p.name for p in (tmp_path / "deep").iterdir()} == {"page.html", "page.md", "page.tex"}
    assert "88.4 ± 0.6 *" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        report.main([str(run), "--out", "page.md"])


def test_the_command_starts_without_jax(run):
    code = (
        "import sys; from experiments import report; report.main(sys.argv[1:]); "
        "sys.exit('jax' in sys.modules or 'matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(run)], cwd=ROOT, check=True)
