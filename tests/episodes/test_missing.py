"""Modalities that go missing: which rows keep what, and how often."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.episodes.missing import drop_modalities, narrow_views, see_through
from fsjax.types import Episode, Inputs, Support

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
NAMES = ("audio", "image", "text")
ROWS = 3000
drop = jax.jit(drop_modalities)
narrow = jax.jit(
    jax.vmap(
        lambda key, episode, alone, cross: narrow_views(key, episode, alone=alone, cross=cross),
        (0, None, None, None),
    )
)


def episode(rows=ROWS, lacking=()):
    """Rows with every modality but those of `lacking`, pairs of modality and row."""

    def inputs():
        present = {m: np.ones(rows, np.float32) for m in NAMES}
        for name, row in lacking:
            present[name][row] = 0
        return Inputs({m: jnp.full((rows, 2), jnp.nan) for m in NAMES}, present)

    labels = jnp.eye(2)[jnp.arange(rows) % 2]
    return Episode(Support(inputs(), labels, Inputs({}, {})), inputs(), labels)


def kept(inputs):
    return np.stack([np.asarray(inputs.present[m]) for m in NAMES])


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
def test_rows_keep_one_of_those_they_have_whatever_the_rate(rate):
    before = episode(lacking=[("text", slice(0, 1500)), ("image", slice(0, 700))])
    after = drop(KEY, before, rate=rate)
    for ours, had in ((after.support.inputs, before.support.inputs), (after.query, before.query)):
        have, left = kept(had), kept(ours)
        assert (left <= have).all() and (left.sum(0) >= 1).all()
        # Of n, n * rate^n of those that would all go are kept.
        n = have.sum(0)
        for several in (1, 2, 3):
            expected = several * (1 - rate) + rate**several
            assert left[:, n == several].sum(0).mean() == pytest.approx(expected, abs=0.08)
        if rate == 1:
            assert (left.sum(0) == 1).all()
            np.testing.assert_allclose(left[:, n == 3].mean(1), np.full(3, 1 / 3), atol=0.05)
    assert (kept(after.query) != kept(after.support.inputs)).any() == (rate > 0)


def test_modalities_and_the_two_sides_have_rates_of_their_own():
    rates = {"text": jnp.array(1.0), "image": jnp.array(0.25)}
    after = drop(KEY, episode(), rate=rates, query=0.0)
    # A row keeps audio, of which nothing is said.
    np.testing.assert_allclose(kept(after.support.inputs).mean(1), [1, 0.75, 0], atol=0.03)
    assert kept(after.query).all()
    # Both would go, one at a rate of 1/4 and one always: either stays as often.
    after = drop(KEY, episode(lacking=[("audio", slice(None))]), rate=rates, query=0.0)
    np.testing.assert_allclose(kept(after.support.inputs).mean(1), [0, 0.875, 0.125], atol=0.03)


def test_the_same_key_drops_at_a_higher_rate_what_it_drops_at_a_lower_one():
    left = [kept(drop(KEY, episode(), rate=rate).query) for rate in (0.2, 0.6, 1.0)]
    assert (left[0] >= left[1]).all() and (left[1] >= left[2]).all()


def test_a_pattern_shows_each_side_its_modalities_and_makes_rows_without_them_padding():
    before = episode(4, lacking=[("text", 1), ("image", 2), ("audio", 2)])
    for see in (see_through, jax.jit(see_through)):
        after = see(before, support={"text": 1.0}, query={"image": 1.0, "audio": 1.0, "text": 0.0})
        np.testing.assert_array_equal(kept(after.support.inputs), [[0] * 4, [0] * 4, [1, 0, 1, 1]])
        np.testing.assert_array_equal(kept(after.query), [[1, 1, 0, 1], [1, 1, 0, 1], [0] * 4])
        np.testing.assert_array_equal(after.support.labels.sum(1), [1, 0, 1, 1])
        np.testing.assert_array_equal(after.targets.sum(1), [1, 1, 0, 1])
        np.testing.assert_array_equal(after.targets[3], before.targets[3])


def test_narrow_views_show_one_modality_or_two_different_ones_all_as_frequent():
    keys = jax.random.split(KEY, 2400)
    after = narrow(keys, episode(2), 0.25, 0.5)
    support, query = kept(after.support.inputs), kept(after.query)  # [M, T, B]
    narrowed = support.sum(0)[:, 0] == 1
    assert support[:, ~narrowed].all() and query[:, ~narrowed].all()
    assert (query[:, narrowed].sum(0) == 1).all()
    pairs = np.stack([x[:, narrowed, 0].argmax(0) for x in (support, query)])
    counts = np.zeros((3, 3))
    np.add.at(counts, tuple(pairs), 1 / len(keys))
    np.testing.assert_allclose(counts, np.full((3, 3), 1 / 12), atol=0.02)
    for alone, cross, equal in ((0.0, 0.0, 1), (1.0, 0.0, 1), (0.0, 1.0, 0)):
        after = narrow(keys[:20], episode(2), alone, cross)
        sides = kept(after.support.inputs), kept(after.query)
        assert (sides[1].sum(0) == (1 if alone + cross else 3)).all()
        assert (sides[0] == sides[1]).all() == equal


def test_names_of_no_modality_are_told():
    for change in (
        lambda: drop_modalities(KEY, episode(4), rate={"imge": 1.0}),
        lambda: see_through(episode(4), support={"imge": 1.0}, query={"image": 1.0}),
    ):
        with pytest.raises(ValueError, match="no modality is called imge; there is audio, image"):
            change()
