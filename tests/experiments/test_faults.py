"""Faults put into a run one by one: what its user sees, and that what was saved is not lost."""

import errno
import os
import re
import shutil
import signal
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from experiments import build, command, evaluate, fitting, jobs, progress, results, stopping, train
from fsjax.data.pool import make_pool
from fsjax.pretrained.encoder import package_file
from fsjax.training.checkpoint import Checkpoints
from fsjax.training.loop import Diverged
from fsjax.types import Pool

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
MODEL = Path("models") / "prototype"


class Whole(NamedTuple):
    """A run whose training nothing disturbed."""

    config: ConfigDict
    job: jobs.Job
    validation: Pool
    workdir: Path
    params: dict


def trained(whole, workdir, after=()):
    """The parameters of the run when its training has ended."""
    board = progress.Board()
    told = board.add("prototype", whole.config.train.steps)
    return fitting.train(whole.job, whole.validation, workdir / MODEL, told, after)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, write_npz, small):
    folder = tmp_path_factory.mktemp("whole")
    config = small(write_npz(folder / "data.npz"))
    config.update(compare="", modalities="tabular", fusion="plain")
    pools = {split: make_pool(table) for split, table in build.tables(config).items()}
    job = jobs.prepare(build.models(config)["prototype"], pools["train"])
    made = Whole(config, job, pools["validation"], folder / "work", {})
    results.open_workdir(made.workdir, results.plain(config))
    return made._replace(params=trained(made, made.workdir))


@pytest.fixture
def ended(whole, tmp_path):
    """The work directory of the same, killed when its training had ended: two checkpoints."""
    return shutil.copytree(whole.workdir, tmp_path / "work")


def newest(workdir):
    return workdir / MODEL / "checkpoints" / "4"


def last_state(whole, workdir):
    checkpoints = Checkpoints(workdir / MODEL / "checkpoints", results.plain(whole.job.config))
    state = checkpoints.restore(whole.job.state)
    return state._replace(key=jax.random.key_data(state.key))


def assert_goes_on_to_the_same_bits(whole, workdir):
    states = last_state(whole, whole.workdir), trained(whole, workdir), last_state(whole, workdir)
    jax.tree.map(np.testing.assert_array_equal, states[0], states[2])
    jax.tree.map(np.testing.assert_array_equal, whole.params, states[1])


def flip_bits(folder):
    for file in folder.rglob("*"):
        if file.is_file() and (content := bytearray(file.read_bytes())):
            content[len(content) // 2] ^= 4
            file.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (flip_bits, r"4 is damaged (.*); that of step 2 is taken in its place"),
        (shutil.rmtree, "goes on from step 2; it had been at 4, of which there is no checkpoint"),
    ],
)
def test_the_newest_checkpoint_is_damaged_or_gone(whole, ended, harm, told, capsys):
    harm(newest(ended))
    assert_goes_on_to_the_same_bits(whole, ended)
    assert re.search(f"prototype: .*{told}", capsys.readouterr().out)


def test_a_model_whose_newest_checkpoint_is_damaged_is_not_evaluated(ended):
    flip_bits(newest(ended))
    with pytest.raises(SystemExit, match=r"4 is damaged .*train the run again without .*results"):
        evaluate.main(["--workdir", str(ended)])


def test_the_disk_is_full(whole, ended):
    shutil.rmtree(newest(ended))
    full = ended / MODEL / "metrics.jsonl.part"
    full.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"cannot write .*metrics.jsonl: No space left on device; wh"):
        trained(whole, ended)
    full.unlink()
    assert_goes_on_to_the_same_bits(whole, ended)


def test_the_directory_is_read_only(whole, ended, monkeypatch):
    def refuse(path):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(SystemExit, match=r"cannot write the work directory .*: Read-only file sys"):
        train.train(whole.config, ended)


def test_the_data_are_gone(whole, ended):
    elsewhere = whole.config.copy_and_resolve_references()
    elsewhere.data.path = str(ended / "gone.npz")
    with pytest.raises((ValueError, OSError), match=re.escape(elsewhere.data.path)):
        train.train(elsewhere, ended)
    assert newest(ended).is_dir()


def test_gradients_become_nan(whole, ended, monkeypatch):
    def spoiled(state, **settings):
        state, metrics = chunk(state, **settings)
        return state._replace(params=jax.tree.map(lambda x: x * jnp.nan, state.params)), metrics

    shutil.rmtree(newest(ended))
    chunk = fitting.train_chunk
    monkeypatch.setattr(fitting, "train_chunk", spoiled)
    with pytest.raises(Diverged, match="a parameter is NaN at step 4; the last good checkpoint is"):
        trained(whole, ended)
    monkeypatch.undo()
    assert_goes_on_to_the_same_bits(whole, ended)


def test_a_signal_comes_while_a_checkpoint_is_written(whole, tmp_path, monkeypatch):
    def signalled(self, state, metrics=None):
        os.kill(os.getpid(), signal.SIGTERM)
        return save(self, state)

    save = fitting.Checkpoints.save
    monkeypatch.setattr(fitting.Checkpoints, "save", signalled)
    with stopping.on_signals() as stop, pytest.raises(stopping.Stopped):
        trained(whole, tmp_path, [stop.after_chunk])
    monkeypatch.undo()
    assert int(last_state(whole, tmp_path).step) == 2
    assert_goes_on_to_the_same_bits(whole, tmp_path)


def test_errors_that_say_what_to_do_are_one_line_and_faults_keep_their_traceback(tmp_path):
    (tmp_path / "lines").write_text("{")
    with pytest.raises(SystemExit, match="line 1 is damaged"):
        command.briefly(lambda argv: results.read_lines(*argv), [tmp_path / "lines"])
    with pytest.raises(SystemExit, match="Is a directory"):
        command.briefly(lambda argv: results.read_lines(*argv), [tmp_path])
    with pytest.raises(SystemExit, match="pip install --no-deps not-there"):
        command.briefly(lambda argv: package_file(*argv), ["not-there", "file"])
    with pytest.raises(ValueError, match="cannot reshape"):
        command.briefly(lambda argv: np.zeros(3).reshape(2), [])
