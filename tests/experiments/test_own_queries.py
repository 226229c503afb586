"""The notebook example of the README for rows of one's own, on queries as they come."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import experiments
from experiments import build, prediction
from fsjax.data.table import Table, rows
from fsjax.types import Inputs

README = (Path(experiments.__file__).parents[1] / "README.md").read_text("utf-8")
EXAMPLE = README.split("In a notebook:\n\n```python\n")[1].split("```")[0]
SUPPORT = ("label,photo,height,width", *["tall,20.png,9,1", "wide,220.png,1,9"] * 2)
QUERIES = {
    "columns in another order": (("label,width,height,photo", "tall,1,8,", "wide,8,1,"), [0, 1]),
    "no labels": (("photo,height,width", ",8,1", ",1,8", "20.png,,"), [0, 1, 0]),
    "one class": (("label,photo,height,width", "wide,,1,8", "wide,220.png,2,8"), [1, 1]),
    "no photo": (("height,width", "1,8", "8,1"), [1, 0]),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A support set of tall things, dark, and wide ones, light; no weights are installed."""
    monkeypatch.chdir(tmp_path)
    for name in ("efficientnet_lite0", "minilm", "soundnet"):
        monkeypatch.setitem(build.PRETRAINED, name, absent)
    for shade in (20, 220):
        Image.fromarray(np.full((9, 9, 3), shade, np.uint8)).save(tmp_path / f"{shade}.png")
    write("support.csv", SUPPORT)


def absent():
    raise ImportError("the weights are absent")


def write(name, lines):
    Path(name).write_text("\n".join(lines), "utf-8")


@pytest.mark.parametrize("queries", QUERIES)
def test_the_example_answers_queries_as_they_come(queries):
    lines, expected = QUERIES[queries]
    write("query.csv", lines)
    names = {}
    exec(EXAMPLE, names)
    assert names["found"].labels.tolist() == expected


def test_a_modality_that_queries_lack_is_missing_in_all_of_them():
    values = {
        "image": np.zeros((4, 9, 9, 3), np.uint8),
        "tabular": np.float32([[1], [9], [2], [8]]),
    }
    support = Table(("few", "many"), {"rows": rows(values, np.array([0, 1, 0, 1]))}, {})
    asked = Inputs({"tabular": np.float32([[1], [9]])}, {"tabular": np.ones(2, np.float32)})
    found = prediction.adapt(support).predict(asked)
    assert found.labels.tolist() == [0, 1] and not found.contributions[:, 0].any()
    with pytest.raises(ValueError, match="known are image, tabular, and there is size"):
        prediction.adapt(support).predict(Inputs({"size": asked.values["tabular"]}, {}))
