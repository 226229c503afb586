"""Rows drawn one by one, from a pool whose rows tell their class and their place."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.episodes.rows import sample_rows
from fsjax.types import Inputs, Pool, Source

COUNTS = (1, 2, 4)


def source(name, counts):
    """Rows class by class; the index is padded with a row of no class."""
    labels = np.repeat(range(len(counts)), counts)
    index = np.full((len(counts), max(counts)), len(labels), np.int32)
    for c in range(len(counts)):
        index[c, : counts[c]] = np.flatnonzero(labels == c)
    rows = np.arange(len(labels) + 1)
    values = jnp.stack([jnp.append(labels, -1), rows], 1)
    present = jnp.ones(len(rows)).at[0].set(0.0)
    group = jnp.zeros(len(rows), jnp.int32)
    return Source(
        Inputs({name: values}, {name: present}), jnp.array(index), jnp.array(counts), group
    )


POOL = Pool({"b": source("b", COUNTS), "a": source("a", COUNTS[::-1])}, Inputs({}, {}))


@pytest.mark.parametrize("jitted", [False, True])
def test_all_sources_show_the_class_of_the_target_and_bring_their_presence(jitted):
    def sample(key, pool):
        return sample_rows(key, pool, rows=50)

    drawn = (jax.jit(sample) if jitted else sample)(jax.random.key(0), POOL)
    classes = drawn.targets.argmax(-1)
    assert drawn.targets.shape == (50, 3) and (drawn.targets.sum(-1) == 1).all()
    for name in ("a", "b"):
        label, row = drawn.inputs.values[name].T
        np.testing.assert_array_equal(label, classes)
        np.testing.assert_array_equal(drawn.inputs.present[name], row != 0)


def test_classes_are_drawn_alike_and_so_are_the_rows_of_a_class():
    drawn = sample_rows(jax.random.key(1), POOL, rows=12000)
    classes, rows = drawn.inputs.values["b"].T
    assert abs(np.bincount(classes) / 4000 - 1).max() < 0.1
    shares = np.bincount(rows, minlength=7) / 4000
    expected = [1.0, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25]
    assert abs(shares - expected).max() < 0.05
    # Sources are drawn apart: the third class has one row in "a" and four in "b".
    assert set(drawn.inputs.values["a"][classes == 2][:, 1].tolist()) == {6}
