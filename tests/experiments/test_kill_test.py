"""The study of kills: a short one, and that it finds what is not equal."""

import random
import shutil

import numpy as np
import pytest

from experiments import kill_test, results


@pytest.mark.slow
def test_a_run_that_is_killed_ends_with_the_same_bits_and_a_difference_is_found(tmp_path):
    told = kill_test.run(tmp_path, 3, random.Random(0))
    assert told.startswith("3 kills (2 SIGKILL, 1 SIGTERM")
    assert told.endswith("last state and results equal bit for bit")
    whole, killed = tmp_path / "undisturbed", tmp_path / "killed"
    (line,) = results.read_lines(killed / "results.jsonl")
    results.write_lines(killed / "results.jsonl", [line | {"nll": np.nextafter(line["nll"], 9)}])
    assert kill_test.different(whole, killed) == ["results.jsonl"]
    last = max(int(f.name) for f in _checkpoints(killed).iterdir() if f.name.isdigit())
    shutil.rmtree(_checkpoints(killed) / str(last))
    assert ".params['head']['temperature']" in str(kill_test.different(whole, killed))


def _checkpoints(workdir):
    return workdir / "models" / kill_test.MODEL / "checkpoints"
