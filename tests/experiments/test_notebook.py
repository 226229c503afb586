"""The notebook runs from its first cell to its last."""

import json
from pathlib import Path

import matplotlib

NOTEBOOK = Path(__file__).parents[2] / "experiments" / "notebooks" / "emoji.ipynb"


def test_every_cell_runs():
    matplotlib.use("agg")
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    small = [text.replace("STEPS, EPISODES = 40, 200", "STEPS, EPISODES = 2, 4") for text in code]
    assert small != code
    names: dict = {}
    for number, text in enumerate(small):
        exec(compile(text, f"cell {number}", "exec"), names)
    assert set(names["figures"]) == {(5, 1), (20, 1)}
