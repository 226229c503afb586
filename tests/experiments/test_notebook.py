"""The notebook runs from its first cell to its last."""

import json
import re
from pathlib import Path

import matplotlib

NOTEBOOK = Path(__file__).parents[2] / "experiments" / "notebooks" / "emoji.ipynb"


def smaller(code: str) -> str:
    """Fewer steps and episodes, smaller encoders."""
    code = code.replace("STEPS, EPISODES = 40, 200", "STEPS, EPISODES = 2, 4")
    return re.sub(r"features=\(\d+, 32, 32, 32\)", "features=(4, 4)", code)


def test_every_cell_runs():
    matplotlib.use("agg")
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    names: dict = {}
    for number, text in enumerate(map(smaller, code)):
        exec(compile(text, f"cell {number}", "exec"), names)
    assert names["STEPS"] == 2 and names["encoders"]["audio"].features == (4, 4)
    assert set(names["figures"]) == {(5, 1), (20, 1)}
