"""Work directories read back: several as one, damaged files, and what is no run."""

import re

import pytest

from experiments import report
from experiments.results import append_new
from experiments.runs import merge, read_lines, read_run
from experiments.tables import table


def test_runs_that_differ_in_the_seed_alone_are_seeds_and_others_are_rows(
    tmp_path, cells, make_bare
):
    first, second = (read_run(make_bare(tmp_path / f"seed{s}", seed=s)) for s in range(2))
    assert "attention · mean of 2 seeds" in table(merge([first, second]))
    other = read_run(make_bare(tmp_path / "group", norm="group"))
    assert cells(table(merge([first, other])), "text · run group")[0] == "82.9 ± 0.6"
    assert report.page([first, other]).count("<section>") == 2


@pytest.mark.parametrize(
    ("folders", "name"),
    [
        (("own-seed=0-norm=group", "own-seed=1-norm=group"), "own-norm=group"),
        (("group/seed=0", "group/seed=1"), "group"),
        (("a", "b", "c"), "a..c"),
    ],
)
def test_seeds_as_one_run_are_not_called_by_one_of_them(tmp_path, cells, make_bare, folders, name):
    runs = [read_run(make_bare(tmp_path / f, seed=s, norm="group")) for s, f in enumerate(folders)]
    text = table(merge([*runs, read_run(make_bare(tmp_path / "other"))]))
    assert cells(text, f"text · run {name} · mean of {len(folders)} seeds")[0].startswith("82.9")
    assert cells(text, f"text · run {name} · seed 1")[0] == "82.9 ± 0.6"


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
def test_damaged_files_are_named(tmp_path, file, text, words, make_bare):
    folder = make_bare(tmp_path / "run")
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(text)
    with pytest.raises(SystemExit, match=re.escape(words)):
        report.main([str(folder)])


def test_of_a_result_that_was_made_again_all_of_the_page_tells_the_later(
    tmp_path, result, comparison
):
    old = [result(), result("image", 0.71), comparison(difference=0.174)]
    new = [result(accuracy=0.9, commit="another"), comparison(difference=0.19)]
    further = [result(shots=5), result(shots=[1, 5]), {"kind": "unknown"}, {"kind": "unknown"}]
    append_new(tmp_path / "results.jsonl", old)
    append_new(tmp_path / "results.jsonl", new + further)
    run = read_run(tmp_path)
    assert run.lines == [new[0], old[1], new[1], *further[:3]]
    page = report.page([run])
    assert "attention names 90.0 ± 0.6 %" in page and "differ by +19.0 ± 0.7" in page
    assert "attention 1: 90.0%, 5: 88.4%" in page  # what its figure says


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(SystemExit, match=r"neither config.json nor results.jsonl; name a folder"):
        report.main([str(tmp_path)])


def test_a_file_that_is_missing_has_no_lines(tmp_path):
    assert read_lines(tmp_path / "results.jsonl") == []
