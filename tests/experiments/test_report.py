"""The report: its figures, its formats, that it stands alone, and what it says of bad input."""

import html
import html.parser
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import report
from experiments.configs.emoji import get_config

ROOT = Path(__file__).parents[2]
MODELS = {"attention": 0.884, "image": 0.71, "text": 0.829, "audio": 0.62, "concat": 0.868}
SETTINGS = {(5, 1): 0.0, (5, 5): 0.07, (20, 1): -0.17}
CLASSES = ("red apple", "grapes & <b>vine</b>", "kitchen knife", "$ign of the $un", "fox")


def result(model="attention", accuracy=0.884, ways=5, shots=1, **more):
    provenance = {
        "versions": {"jax": "0.10.2", "fsjax": "0.1.0"},
        "device": "1 x cpu (cpu)",
        "cores": 2,
        "commit": "5b6d0a3",
    }
    line = {"kind": "result", "model": model, "data": "emoji", "split": "test", "seed": 0}
    line |= {"modalities": [model], "ways": ways, "shots": shots, "queries": 2, "apart": True}
    line |= {"accuracy": accuracy, "ci95": 0.0061, "nll": 0.41, "ece": 0.02, "seconds": 3.2}
    return line | {"episodes": 1000, "transductive": False} | provenance | more


def comparison(against="image", difference=0.174, ways=5, shots=1, **more):
    line = {"kind": "comparison", "model": "attention", "against": against, "data": "emoji"}
    line |= {"split": "test", "ways": ways, "shots": shots, "queries": 2, "seed": 0}
    return line | {"difference": difference, "ci95": 0.007} | more


def all_lines():
    lines = [
        result(model, accuracy + gain, *setting)
        for model, accuracy in MODELS.items()
        for setting, gain in SETTINGS.items()
    ]
    lines += [
        comparison(model, MODELS["attention"] - MODELS[model], *setting)
        for model in list(MODELS)[1:]
        for setting in SETTINGS
    ]
    return lines


def drawing(way, random):
    """A 32 x 32 picture of its way, in a style of its own."""
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    shapes = (
        x**2 + y**2,
        np.abs(x) + np.abs(y),
        np.maximum(abs(x), abs(y)),
        y + abs(x) + 0.4,
        abs(x),
    )
    image = np.full((32, 32, 3), 255, np.uint8)
    image[shapes[way] < random.uniform(0.35, 0.7)] = random.integers(20, 210, 3)
    return image


def inspection(random):
    ways, shots, queries = 5, 2, 2
    centres = random.normal(size=(ways, 64)) * 1.6
    support, query = np.repeat(range(ways), shots), np.repeat(range(ways), queries)
    rows = [centres[w] + random.normal(size=64) for w in (*support, *query)]
    prototypes = np.array(rows[: ways * shots]).reshape(ways, shots, 64).mean(1)
    guesses = query.copy()
    guesses[[3, 8]] = 0
    return {
        "confusion": np.eye(5) * 80 + random.integers(0, 9, (5, 5)),
        "confusion_classes": np.array(CLASSES),
        "picture_features": np.concatenate([rows, prototypes]).astype("f4"),
        "picture_images": np.stack([drawing(w, random) for w in (*support, *query)]),
        "picture_labels": np.concatenate([support, query, np.arange(ways)]),
        "picture_kinds": np.repeat(["support", "query", "prototype"], [10, 10, 5]),
        "picture_predictions": guesses,
        "picture_classes": np.array(CLASSES),
        "attention_modalities": np.array(["audio", "image", "text"]),
        "attention": random.dirichlet((2, 5, 6), 40).T,
    }


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def make_bare(folder, **config):
    """A work directory with settings and results alone."""
    settings = get_config().to_dict() | config
    write_lines(
        folder / "results.jsonl", [line | {"seed": settings["seed"]} for line in all_lines()]
    )
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def make_run(folder):
    """A work directory with all its parts, as a run would leave it."""
    make_bare(folder)
    random = np.random.default_rng(0)
    for name, level in MODELS.items():
        steps = np.arange(1, 7) * 100
        lines = [
            {
                "step": int(s),
                "loss": 3 * np.exp(-s / 200) + 1 - level + random.uniform(0, 0.1),
                "accuracy": 0.5,
                "validation": level - 0.2 - 0.3 * np.exp(-s / 150),
            }
            for s in steps
        ]
        write_lines(folder / "models" / name / "metrics.jsonl", lines)
    np.savez(folder / "inspection.npz", **inspection(random))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "run <1>")


@pytest.fixture(scope="module")
def page(run):
    report.write_report([run], run / "report.html")
    return (run / "report.html").read_text()


def cells(text, label):
    """The cells of the row of a text table that begins with a label."""
    row = next(line for line in text.splitlines() if line.startswith(label + "  "))
    return re.split(r"\s{2,}", row[len(label) :].strip())


def test_table_holds_the_figures():
    text = report.table(all_lines())
    assert cells(text, "model") == ["5-way 1-shot", "5-way 5-shot", "20-way 1-shot"]
    assert cells(text, "attention") == ["88.4 ± 0.6 *", "95.4 ± 0.6 *", "71.4 ± 0.6 *"]
    assert cells(text, "text") == ["82.9 ± 0.6", "89.9 ± 0.6", "65.9 ± 0.6"]
    assert cells(text, "attention - text")[0] == "+5.5 ± 0.7 *"


def test_table_is_aligned():
    rows = report.table(all_lines()).splitlines()[:6]
    assert len({row.rindex("±") for row in rows[1:]}) == 1


@pytest.mark.parametrize(
    ("difference", "cell"),
    [(0.004, "+0.4 ± 0.7"), (-0.02, "-2.0 ± 0.7 *"), (0.0071, "+0.7 ± 0.7 *")],
)
def test_a_difference_is_marked_if_its_interval_excludes_zero(difference, cell):
    text = report.table([comparison(difference=difference)])
    assert cells(text, "attention - image") == [cell]


def test_transductive_results_are_marked_and_never_best_beside_inductive_ones():
    lines = [result(), result("image", 0.7), result("tricks", 0.95, transductive=True)]
    text = report.table(lines)
    assert cells(text, "tricks") == ["95.0 ± 0.6 †"] and "†: transductive" in text
    assert cells(text, "attention") == ["88.4 ± 0.6 *"]
    assert "†" not in report.table(lines[:2])


def test_seeds_give_rows_of_their_own_and_a_mean_with_its_spread():
    lines = [result(accuracy=0.88 + 0.01 * seed, seed=seed) for seed in range(3)]
    lines += [comparison(difference=0.01 * seed, seed=seed) for seed in range(3)]
    text = report.table(lines)
    assert cells(text, "attention · mean of 3 seeds") == ["89.0 (88.0..90.0)"]
    assert cells(text, "attention · seed 2") == ["90.0 ± 0.6"]
    assert cells(text, "attention - image · mean of 3 seeds") == ["+1.0 (+0.0..+2.0)"]


def test_results_on_other_data_are_other_rows_and_no_rivals():
    lines = [result(), result(accuracy=0.99, data="birds"), result("image", 0.7)]
    text = report.table(lines)
    assert cells(text, "attention · data emoji") == ["88.4 ± 0.6 *"]
    assert cells(text, "attention · data birds") == ["99.0 ± 0.6"]


def test_of_a_result_made_again_the_later_counts_and_unknown_kinds_are_passed_over():
    lines = [result(accuracy=0.5), {"kind": "latency", "x": [1]}, result(commit="later"), {"a": 1}]
    assert cells(report.table(lines), "attention") == ["88.4 ± 0.6"]
    assert report.table([]) == "No results yet."


def test_markdown_and_latex_hold_the_same_cells():
    lines = [*all_lines(), result("a_b|c", 0.5, transductive=True)]
    markdown, latex = report.markdown(lines), report.latex(lines)
    assert "| attention | **88.4 ± 0.6** | **95.4 ± 0.6** | **71.4 ± 0.6** |" in markdown
    assert r"| a\_b\|c | 50.0 ± 0.6 † | - | - |" in markdown
    assert r"attention & \textbf{88.4 $\pm$ 0.6} & " in latex
    assert r"a\_b|c & 50.0 $\pm$ 0.6 $^\dagger$ & - & - \\" in latex
    assert latex.count(r"\begin{tabular}{lrrr}") == latex.count(r"\end{tabular}") == 2
    assert "{mark}" not in markdown + latex


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
    assert len(figures) == 7 and all(f["role"] == "img" and f["aria-label"] for f in figures)
    assert page.count("data:image/png") == 20  # the drawings of the episode
    for text in ("<strong>88.4 ± 0.6</strong>", "8 of 10 queries right", "mean audio", "5b6d0a3"):
        assert text in page
    assert 'class="missing"' not in page and "prefers-color-scheme:dark" in page
    assert "On 5-way 1-shot episodes of emoji, attention names 88.4 ± 0.6 %" in page
    assert "they differ by +1.6 ± 0.7 points." in page


def test_page_escapes_text(page):
    assert "run &lt;1&gt;" in page and "run <1>" not in page
    assert "grapes &amp; &lt;b&gt;vine&lt;/b&gt;" in page and "<b>" not in page
    assert "$ign of the $un" in page


def test_figures_take_their_colours_from_the_page(page):
    body = page.split("</style></head>")[1]
    assert not set(re.findall(r"#[0-9a-f]{6}\b", body)) - {"#fffffe"}


def test_the_command_overrides_what_differs_from_the_default(tmp_path, page):
    assert "python -m experiments.train --workdir runs/again</pre>" in page
    folder = make_bare(tmp_path / "run", seed=3, compare="image, text")
    text = html.unescape(report.page([report.read_run(folder)]))
    assert "runs/again \\\n    '--config.compare=image, text' \\\n    --config.seed=3</pre>" in text
    folder = make_bare(tmp_path / "other", colour="blue")
    assert "--config FILE" in report.page([report.read_run(folder)])


def test_page_says_what_is_missing(tmp_path):
    folder = make_bare(tmp_path / "run")
    (folder / "results.jsonl").unlink()
    page = report.page([report.read_run(folder)])
    for words in (
        "No results yet.",
        "No training loss: not in models/*/metrics.jsonl",
        "No figure by ways or shots",
        "No confusion matrix: not in inspection.npz",
        "No picture of an episode",
        "No attention by modality",
    ):
        assert words in page
    write_lines(folder / "results.jsonl", all_lines())
    (folder / "config.json").unlink()
    assert "No settings: config.json is not there" in report.page([report.read_run(folder)])


def test_page_without_images_attention_and_validation(tmp_path):
    folder = make_run(tmp_path / "run")
    arrays = inspection(np.random.default_rng(0))
    kept = {k: v for k, v in arrays.items() if k != "picture_images" and "attention" not in k}
    np.savez(folder / "inspection.npz", **kept)
    line = {"step": 1, "loss": 1.0, "validation": float("nan")}
    for log in folder.glob("models/*/metrics.jsonl"):
        write_lines(log, [line])
    page = report.page([report.read_run(folder)])
    assert "data:image" not in page and "No attention by modality" in page
    assert "No validation accuracy" in page and "Training loss by step" in page


def test_runs_that_differ_in_the_seed_alone_are_seeds_and_others_are_rows(tmp_path):
    folders = [make_bare(tmp_path / f"seed{seed}", seed=seed) for seed in range(2)]
    lines = report.merge(list(map(report.read_run, folders)))
    assert "attention · mean of 2 seeds" in report.table(lines)
    folders[1] = make_bare(tmp_path / "group", norm="group")
    runs = list(map(report.read_run, folders))
    assert cells(report.table(report.merge(runs)), "text · run group")[0] == "82.9 ± 0.6"
    assert report.page(runs).count("<section>") == 2


def test_command_writes_three_files_and_prints_the_table(tmp_path, capsys):
    run = make_bare(tmp_path / "run")
    report.main([str(run), "--out", str(tmp_path / "deep" / "page.html")])
    assert {p.name for p in (tmp_path / "deep").iterdir()} == {"page.html", "page.md", "page.tex"}
    assert "88.4 ± 0.6 *" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("results.jsonl", '{"kind": "result"}\n', "results.jsonl, line 1 lacks accuracy, ci95"),
        ("results.jsonl", '{"a": 1}\n\n{"kind": "res', "results.jsonl, line 3 is damaged"),
        ("results.jsonl", "[1]\n", "results.jsonl, line 1 is damaged"),
        ("config.json", "{", "config.json is damaged"),
        ("inspection.npz", "PK", "inspection.npz is damaged"),
        ("models/text/metrics.jsonl", '{"loss": 1}\n', "metrics.jsonl, line 1 lacks step"),
    ],
)
def test_damaged_files_are_named(tmp_path, file, text, words):
    folder = make_bare(tmp_path / "run")
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(text)
    with pytest.raises(SystemExit, match=re.escape(words)):
        report.main([str(folder)])


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=r"neither config.json nor results.jsonl; name a folder"):
        report.main([str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        report.main([str(tmp_path), "--out", "page.md"])


def test_the_command_starts_without_jax(run):
    code = (
        "import sys; from experiments import report; report.main(sys.argv[1:]); "
        "sys.exit('jax' in sys.modules or 'matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(run)], cwd=ROOT, check=True)
