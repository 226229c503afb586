"""Checkpoints: the same bits come back, a killed run goes on, and damage is named."""

import gc
import re
import resource
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from fsjax.training.checkpoint import UNFINISHED, Checkpoints
from fsjax.training.loop import keep_best, run
from fsjax.training.state import init_state, train_chunk

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
SETTINGS = {"seed": 0, "train": {"steps": 8, "learning_rate": 0.1}, "modalities": ["a", "b"]}
OPTIMIZER = optax.adam(0.1)
STEPS, CHUNK = 8, 2


@jax.tree_util.Partial
def sample(key):
    return jax.random.normal(key, (3,))


def objective(params, batch, key, step):
    loss = jnp.square(params["layer"]["w"] - batch).sum()
    return {"layer": {"w": 2 * (params["layer"]["w"] - batch)}, "none": {}}, {"loss": loss}


def fresh(seed=0):
    params = {"layer": {"w": jnp.arange(3.0)}, "none": {}}
    return init_state(jax.random.key(seed), params, OPTIMIZER)


def measure(state):
    """A figure that rises and falls, so that best, its step and misses all matter."""
    return state.params, float(jnp.sin(state.params["layer"]["w"].sum() + state.step))


def advance(state, steps):
    return train_chunk(
        state, sample=sample, objective=objective, optimizer=OPTIMIZER, num_steps=steps
    )


def train(folder, *more_hooks):
    """A run as a command does it: from the newest checkpoint in the folder, saving each chunk."""
    checkpoints = Checkpoints(folder, SETTINGS)
    return run(
        checkpoints.restore(fresh()),
        chunk=advance,
        num_steps=STEPS,
        chunk_steps=CHUNK,
        hooks=[
            keep_best(measure, lambda *_: None),
            *more_hooks[:1],
            checkpoints.save,
            *more_hooks[1:],
        ],
    )


def assert_same(a, b):
    def bits(state):
        return state._replace(key=jax.random.key_data(state.key))

    assert jax.tree.structure(a) == jax.tree.structure(b)
    assert a.key.dtype == b.key.dtype
    jax.tree.map(np.testing.assert_array_equal, bits(a), bits(b))
    dtypes = [jax.tree.map(lambda x: x.dtype, s) for s in (a, b)]
    assert dtypes[0] == dtypes[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder and the state of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(folder)


@pytest.fixture
def copied(whole, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole[0], folder)
    yield folder
    gc.collect()  # what orbax leaves unfinished warns here and in no other test


def test_a_state_comes_back_bit_for_bit_with_its_key_its_optimiser_and_its_best(whole):
    folder, state = whole
    restored = Checkpoints(folder, SETTINGS).restore(fresh(seed=1))
    assert_same(restored, state)
    assert int(state.best.step) < STEPS and int(state.best.misses) > 0


def test_without_a_checkpoint_the_fresh_state_is_handed_back(tmp_path):
    state = fresh()
    assert Checkpoints(tmp_path / "new" / "deep", SETTINGS).restore(state) is state


def test_saving_is_a_hook_and_hands_the_state_on(tmp_path):
    state = fresh()
    assert Checkpoints(tmp_path, SETTINGS).save(state, {"loss": jnp.ones(2)}) is state


class Killed(Exception):
    """As if the machine had gone."""


@pytest.mark.parametrize("saved", [False, True], ids=["before_saving", "after_saving"])
@pytest.mark.parametrize("at", range(CHUNK, STEPS + 1, CHUNK))
def test_a_run_killed_after_any_chunk_goes_on_to_the_same_bits(whole, tmp_path, at, saved):
    def kill(state, metrics):
        if int(state.step) == at:
            raise Killed
        return state

    def nothing(state, metrics):
        return state

    with pytest.raises(Killed):
        train(tmp_path, *((nothing, kill) if saved else (kill, nothing)))
    assert_same(train(tmp_path), whole[1])


def test_two_checkpoints_are_kept_and_without_the_newest_a_run_goes_on_from_the_other(
    whole, copied
):
    assert sorted(int(f.name) for f in copied.iterdir() if f.name.isdigit()) == [6, 8]
    shutil.rmtree(copied / "8")
    assert int(Checkpoints(copied, SETTINGS).restore(fresh()).step) == 6
    assert_same(train(copied), whole[1])


def test_a_save_that_was_killed_in_the_middle_is_passed_over(copied):
    (copied / "8").rename(copied / "8.orbax-checkpoint-tmp")
    assert int(Checkpoints(copied, SETTINGS).restore(fresh()).step) == 6


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"modalities": ["a"]}, "modalities was ['a', 'b'] and is ['a']"),
        ({"train": {"steps": 8, "learning_rate": 0.2}}, "train.learning_rate was 0.1 and is 0.2"),
        ({"train": {"steps": 8}}, "train.learning_rate was 0.1 and is None"),
    ],
)
def test_a_checkpoint_of_another_configuration_is_refused_and_the_difference_named(
    whole, change, told
):
    with pytest.raises(ValueError, match=re.escape(told)) as caught:
        Checkpoints(whole[0], SETTINGS | change).restore(fresh())
    assert str(whole[0] / "8") in str(caught.value)
    assert "another work directory" in str(caught.value)


def test_keys_that_a_later_version_added_do_not_lock_a_checkpoint_out(whole):
    later = SETTINGS | {"new": True, "train": SETTINGS["train"] | {"rows": 128}}
    assert_same(Checkpoints(whole[0], later).restore(fresh()), whole[1])


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def files_of(folder, part):
    return [f for f in (folder / "8" / part).rglob("*") if f.is_file() and f.stat().st_size]


def emptied(path):
    path.write_bytes(b"")


def flipped(path):
    """One bit in the middle is another."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("part", ["state", "settings"])
@pytest.mark.parametrize("harm", [cut, emptied, flipped, Path.unlink])
def test_from_a_damaged_checkpoint_a_run_goes_on_from_the_one_before_and_says_so(
    whole, copied, part, harm
):
    for file in files_of(copied, part):
        harm(file)
    with pytest.warns(UserWarning, match="that of step 6 is taken in its place") as told:
        assert_same(train(copied), whole[1])
    assert f"the checkpoint {copied / '8'} is damaged (" in str(told[0].message)
    assert "\n" not in str(told[0].message)
    # The last step was computed again and saved in the place of what was damaged.
    assert_same(Checkpoints(copied, SETTINGS, tell=pytest.fail).restore(fresh()), whole[1])


@pytest.mark.parametrize("harm", [cut, emptied, flipped, Path.unlink])
def test_no_harm_to_a_single_file_brings_back_other_numbers(whole, copied, harm):
    """Some files are not needed; whatever is not passed over is right."""
    shutil.copytree(copied, aside := copied.with_name("aside"))
    shutil.rmtree(aside / "8")
    before = Checkpoints(aside, SETTINGS).restore(fresh())
    told = []
    for file in files_of(copied, "."):
        content = file.read_bytes()
        harm(file)
        passed_over = len(told)
        restored = Checkpoints(copied, SETTINGS, tell=told.append).restore(fresh())
        assert_same(restored, before if len(told) > passed_over else whole[1])
        file.write_bytes(content)
    assert told


def test_when_all_are_damaged_the_folder_is_named_and_what_to_do(copied):
    for step in (6, 8):
        flip_numbers(copied / str(step))
    with pytest.raises(ValueError, match="of steps 8, 6; its numbers are not those that") as caught:
        train(copied)
    assert str(copied) in str(caught.value) and "remove that folder" in str(caught.value)


def flip_numbers(step):
    """Numbers that orbax reads without a fault, and that nothing wrote."""
    state = Checkpoints(step.parent, SETTINGS).restore(fresh())
    other = state._replace(params={"layer": {"w": state.params["layer"]["w"] + 1}, "none": {}})
    plain = other._replace(key=jax.random.key_data(other.key))
    shutil.rmtree(step / "state")
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(step / "state", plain)


def test_a_checkpoint_of_a_version_without_digests_is_read(whole, copied):
    shutil.rmtree(copied / "8" / "digest")
    assert_same(Checkpoints(copied, SETTINGS, tell=pytest.fail).restore(fresh()), whole[1])


def test_what_cannot_be_written_loses_nothing_and_a_run_goes_on_when_it_can(whole, tmp_path):
    """A limit on the size of files, which tensorstore meets as it would a full disk."""

    def limited(state, metrics):
        if int(state.step) == 6:
            resource.setrlimit(resource.RLIMIT_FSIZE, (10, limit[1]))
        return state

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(OSError, match=r"cannot write the checkpoint .*6 \(.*those before it"):
            train(tmp_path, limited)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert int(Checkpoints(tmp_path, SETTINGS, tell=pytest.fail).restore(fresh()).step) == 4
    assert list(tmp_path.glob(UNFINISHED))
    assert_same(train(tmp_path), whole[1])
    assert not list(tmp_path.glob(UNFINISHED))


def test_a_state_of_other_shapes_is_not_restored(whole):
    wider = init_state(jax.random.key(0), {"layer": {"w": jnp.zeros(4)}, "none": {}}, OPTIMIZER)
    with pytest.raises(ValueError):
        Checkpoints(whole[0], SETTINGS).restore(wider)


def test_a_file_in_the_place_of_the_folder_raises_before_any_step(tmp_path):
    (tmp_path / "run").write_text("not a folder")
    with pytest.raises(OSError, match="run"):
        Checkpoints(tmp_path / "run", SETTINGS)
