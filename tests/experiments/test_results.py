"""What a run leaves in its files."""

from experiments.results import append_new
from experiments.runs import read_lines


def test_a_line_that_is_there_is_not_added_again(tmp_path):
    path = tmp_path / "results.jsonl"
    line = {"model": "raw", "shots": (1, 3), "auroc": float("nan"), "seconds": 1.0}
    append_new(path, [line])
    append_new(path, [line | {"seconds": 2.0}, line | {"shots": (1, 5)}])
    assert [found["shots"] for found in read_lines(path)] == [[1, 3], [1, 5]]
