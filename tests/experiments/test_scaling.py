"""What a training step costs on several devices: as much each, and one sum between them."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from experiments import build, jobs
from experiments.benchmarks import scaling
from fsjax.data.pool import make_pool

ROOT = Path(__file__).parents[2]
PROGRAM = """
  %a = f32[4,2]{1,0} add(%x, %y)
  %b = (f32[], bf16[8,3]{1,0}, s32[2]{0}) all-reduce(%a, %c, %d), channel_id=1
  ROOT %e = f32[10]{0} all-gather-start(%b), dimensions={0}
"""


def test_collectives_and_their_bytes():
    assert scaling.collectives(PROGRAM) == [("all-reduce", 4 + 2 * 24 + 8), ("all-gather", 40)]


@pytest.mark.slow
def test_devices_do_as_much_each_and_talk_once(tmp_path, write_npz, job_flags, small):
    flags = job_flags(tmp_path / "data.npz", **{"train.drop": 0.3})
    command = [sys.executable, "-m", "experiments.benchmarks.scaling", *flags]

    def cost(number):
        done = subprocess.run(
            [*command, f"--on={number}"], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return scaling.Cost(*json.loads(done.stdout))

    four, one = cost(4), cost(1)
    assert one.collectives == {} and four.collectives == {"all-reduce": 1}
    assert four.flops <= 1.1 * one.flops
    config = small(tmp_path / "data.npz")
    config.update(modalities="tabular", norm="group")
    job = jobs.prepare(config, make_pool(build.tables(config)["train"]))
    gradients = sum(x.nbytes for x in jax.tree.leaves(job.state.params))
    assert gradients < four.bytes <= gradients + 64  # and metrics
