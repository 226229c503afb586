"""Tests on other data than a run's: as its models see them, and to folders of their own."""

import html
import json
import re
import shutil

import numpy as np
import pytest

from experiments import build, elsewhere, evaluate, train
from experiments.configs import own
from experiments.runs import read_run

COLUMNS = "columns=image:pictures,tabular:numbers"


@pytest.fixture(scope="module")
def finished(tmp_path_factory, write_npz, small):
    """A run, and a copy of its data elsewhere whose test classes alone are named."""
    folder = tmp_path_factory.mktemp("run")
    config = small(write_npz(folder / "data.npz"))
    config.data.standardise = "tabular"
    config.compare = "tabular"
    config.train.steps = 0
    config.test.settings = ((3, 1),)
    train.train(config, folder / "work")
    shutil.copy(folder / "data.npz", folder / "other.npz")
    classes = build.tables(config)["test"].classes
    splits = {"train": [], "validation": [], "test": list(classes)}
    (folder / "splits.json").write_text(json.dumps(splits))
    return config, folder


def words(folder, *more):
    return [f"path={folder / 'other.npz'}", COLUMNS, *more]


def test_the_same_classes_elsewhere_have_the_same_figures(finished, capsys):
    _, folder = finished
    before = (folder / "work" / "results.jsonl").read_text()
    splits = f"splits={folder / 'splits.json'}"
    out = folder / "out"
    command = ["--workdir", str(folder / "work"), "--out", str(out)]
    evaluate.main([*command, "--data", *words(folder, splits)])
    for file in (folder / "work" / "episodes").iterdir():
        with np.load(file) as own, np.load(out / "episodes" / file.name) as there:
            for name in own:
                np.testing.assert_array_equal(own[name], there[name])
    assert (folder / "work" / "results.jsonl").read_text() == before
    run = read_run(out)
    assert run.config["data"]["path"] == str(folder / "other.npz")
    assert {line["model"] for line in run.lines} == {"attention", "tabular"}
    assert "attention - tabular" in capsys.readouterr().out
    more = ["--settings", "2x1", "--models", "tabular"]
    evaluate.main([*command, *more, "--data", *words(folder, splits)])
    assert {line["ways"] for line in read_run(out).lines} == {2, 3}
    page = html.unescape((out / "report.html").read_text())
    assert f"experiments.evaluate --workdir {(folder / 'work').resolve()} \\\n" in page
    told = re.search(r"--data (.*) \\\n    --out runs/again</pre>", page)[1].split()
    assert set(told) == {"name=npz", *words(folder, splits), "standardise=tabular"}
    assert "experiments.train" not in page
    with pytest.raises(SystemExit, match=f"holds no models, but tests of those of .*{folder.name}"):
        evaluate.main(["--workdir", str(out)])


def test_all_classes_are_tested_and_those_called_as_the_runs_are_told(finished):
    config, folder = finished
    asked = elsewhere.config_of(config, words(folder))
    data = elsewhere.prepared(config, asked, ["tabular"])
    assert len(data.tables["test"].classes) == 60
    seen = sum(len(data.tables[split].classes) for split in ("train", "validation"))
    assert elsewhere.told_twice(data).startswith(f"{seen} of 60 classes, such as ")


def test_rows_are_scaled_as_those_of_the_run(finished):
    config, folder = finished
    asked = elsewhere.config_of(config, words(folder, f"splits={folder / 'splits.json'}"))
    own, there = build.prepared(config), elsewhere.prepared(config, asked, ["tabular"])
    for split in build.HELD_OUT:
        a, b = (x.tables[split].sources["rows"].values["tabular"] for x in (own, there))
        np.testing.assert_array_equal(a, b)
    assert elsewhere.told_twice(there) == ""


def test_columns_of_a_csv_are_found_by_their_names(tmp_path):
    lines = [(f"{k}", 10 * k + i, -k) for k in range(40) for i in range(8)]
    for file, order in (("mine", (0, 1, 2)), ("other", (0, 2, 1))):
        header = ["label", "height", "width"]
        table = [[row[i] for i in order] for row in (header, *lines)]
        text = "\n".join(",".join(map(str, row)) for row in table)
        (tmp_path / f"{file}.csv").write_text(text)
    config = own.get_config()
    config.update(modalities="tabular", compare="")
    config.data.path = str(tmp_path / "mine.csv")
    asked = elsewhere.config_of(config, [f"path={tmp_path / 'other.csv'}"])
    test = elsewhere.prepared(config, asked, ["predictive"]).tables["test"].sources["rows"]
    np.testing.assert_array_equal(test.values["tabular"], np.float32([row[1:] for row in lines]))


@pytest.mark.parametrize("ours", [(8, 8), (8, 8, 1), (8, 8, 3)])
@pytest.mark.parametrize("theirs", [(16, 16), (16, 16, 1), (16, 16, 3), (8, 8, 1), (12, 16, 3)])
def test_pictures_are_fitted_to_those_of_the_run(ours, theirs):
    x = np.full((2, *theirs), 40, np.uint8)
    found = elsewhere.fitted_pictures(x, ours)
    assert found.shape == (2, *ours) and found.dtype == np.uint8
    inside = found[:, 2:6]  # what is not square stands on white
    np.testing.assert_array_equal(inside, 40)
    assert elsewhere.fitted_pictures(found, ours) is found


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["paht=x"], r"--data='paht' is not one of .*did you mean 'path'"),
        (["stream=maybe"], r"--data stream=maybe: 'maybe' is no number, nor True or False"),
        (["image_size=3.5"], r"--data image_size=3\.5: "),
        (["columns=image:numbers,tabular:pictures"], r"image of shape .*here it has shape \[2\]"),
    ],
)
def test_what_does_not_fit_is_told(finished, more, said):
    _, folder = finished
    command = ["--workdir", str(folder / "work"), "--out", str(folder / "bad")]
    with pytest.raises(SystemExit, match=said):
        evaluate.main([*command, "--data", *words(folder, *more)])
    assert not (folder / "bad" / "results.jsonl").exists()


def test_other_data_and_their_folder_go_together(finished):
    config, folder = finished
    command = ["--workdir", str(folder / "work")]
    with pytest.raises(SystemExit, match="--data and --out go together"):
        evaluate.main([*command, "--data", *words(folder)])
    with pytest.raises(SystemExit, match="is the folder of the run: name another"):
        evaluate.main([*command, "--out", str(folder / "work"), "--data", *words(folder)])
    with pytest.raises(SystemExit, match="--data names the data of the run itself"):
        evaluate.main([*command, "--out", str(folder / "x"), "--data", f"path={config.data.path}"])
