"""The dealer: what an episode may hold, and how often it holds it."""

from collections import Counter
from functools import partial
from itertools import chain, combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fsjax.data.emoji import emoji
from fsjax.data.pool import make_pool
from fsjax.data.splits import split_by_digest
from fsjax.data.table import take_classes, take_modalities
from fsjax.episodes.sample import bind_pool, draw_apart, draw_rows, sample_episode, sample_tasks
from fsjax.types import Inputs, Pool, Source

SIZES = {"sound": (6, 4, 4, 5, 4), "image": (4, 7, 5, 6, 9)}  # not by name: jit sorts them
WAYS, SHOTS, QUERIES, EPISODES = 3, 3, 1, 2000


def source_of(name: str, sizes: tuple[int, ...]) -> Source:
    """Rows that hold 100 * class + position; beyond count the index names a row that holds -1."""
    value = [100 * label + k for label, size in enumerate(sizes) for k in range(size)]
    first = np.cumsum(sizes) - sizes
    place = np.arange(max(sizes))
    index = np.where(place < np.array(sizes)[:, None], first[:, None] + place, len(value))
    values = jnp.array([*value, -1])
    inputs = Inputs({name: values}, {name: jnp.ones(len(values))})
    return Source(inputs, jnp.array(index), jnp.array(sizes), jnp.arange(len(values)))


POOL = Pool(
    {name: source_of(name, sizes) for name, sizes in SIZES.items()},
    Inputs({"word": jnp.arange(5)}, {"word": jnp.ones(5)}),
)


@partial(jax.jit, static_argnames=("options",))
def deal(keys, pool, options):
    return jax.vmap(lambda key: sample_episode(key, pool, **dict(options)))(keys)


def dealt(pool, episodes, **options):
    keys = jax.random.split(jax.random.key(0), episodes)
    return jax.device_get(deal(keys, pool, tuple(options.items())))


@pytest.fixture(scope="module")
def episodes():
    return dealt(POOL, EPISODES, ways=WAYS, shots=(1, SHOTS), queries=QUERIES)


def by_class(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), WAYS, -1)


def assert_rate(hits: np.ndarray, share: float) -> None:
    """Independent events of a given probability, within four standard errors."""
    assert abs(hits.mean() - share) < 4 * np.sqrt(share * (1 - share) / hits.size)


def assert_frequencies(seen: Counter, expected: dict) -> None:
    """Chi square within four standard deviations of its mean."""
    assert set(seen) <= set(expected)
    n = sum(seen.values())
    terms = [(seen[k] - n * p) ** 2 / (n * p) for k, p in expected.items()]
    freedom = len(terms) - 1
    assert sum(terms) < freedom + 4 * np.sqrt(2 * freedom)


def test_no_class_repeats(episodes):
    classes = np.sort(episodes.support.side.values["word"])
    assert classes.shape == (EPISODES, WAYS) and (np.diff(classes) > 0).all()


def test_every_class_appears_at_the_same_rate(episodes):
    for label in range(5):
        chosen = (episodes.support.side.values["word"] == label).any(1)
        assert_rate(chosen, WAYS / 5)


@pytest.mark.parametrize("modality", SIZES)
def test_rows_belong_to_their_class_and_are_never_padding(episodes, modality):
    for inputs in (episodes.support.inputs, episodes.query):
        owner = by_class(inputs.values[modality]) // 100
        assert (owner == episodes.support.side.values["word"][..., None]).all()
        assert (inputs.present[modality] == 1).all()


@pytest.mark.parametrize("modality", SIZES)
def test_no_row_repeats_within_a_class(episodes, modality):
    both = (by_class(i.values[modality]) for i in (episodes.support.inputs, episodes.query))
    rows = np.sort(np.concatenate(list(both), axis=-1))
    assert rows.shape == (EPISODES, WAYS, SHOTS + QUERIES) and (np.diff(rows) > 0).all()


@pytest.mark.parametrize("part", ["support", "query"])
def test_every_row_of_a_class_appears_at_the_same_rate(episodes, part):
    inputs, drawn = {
        "support": (episodes.support.inputs, SHOTS),
        "query": (episodes.query, QUERIES),
    }[part]
    for modality, sizes in SIZES.items():
        rows = by_class(inputs.values[modality])
        for label, size in enumerate(sizes):
            of_class = rows[episodes.support.side.values["word"] == label]
            for row in range(size):
                hits = (of_class == 100 * label + row).any(-1)
                if drawn < size:
                    assert_rate(hits, drawn / size)


def test_sources_are_drawn_independently_of_each_other(episodes):
    label = 4
    of_class = episodes.support.side.values["word"] == label
    first = [by_class(episodes.query.values[m])[of_class][:, 0] % 100 for m in SIZES]
    sizes = [sizes[label] for sizes in SIZES.values()]
    expected = {(i, j): 1 / np.prod(sizes) for i in range(sizes[0]) for j in range(sizes[1])}
    assert_frequencies(Counter(zip(*map(np.ndarray.tolist, first), strict=True)), expected)


def test_a_number_of_shots_drawn_per_class_pads_rows_with_zero_labels(episodes):
    labels = episodes.support.labels.reshape(EPISODES, WAYS, SHOTS, WAYS)
    counts = labels.sum((2, 3))
    given_rows = np.arange(SHOTS) < counts[..., None]
    np.testing.assert_array_equal(labels, given_rows[..., None] * np.eye(WAYS)[:, None])
    for number in range(1, SHOTS + 1):
        assert_rate(counts == number, 1 / SHOTS)
    np.testing.assert_array_equal(episodes.targets, np.tile(np.eye(WAYS), (EPISODES, 1, 1)))


@pytest.mark.parametrize(
    ("draw", "shared", "support", "query"),
    [(draw_rows, False, [2, 2, 2], [2, 2, 0]), (draw_apart, True, [0, 0, 0], [2, 2, 2])],
)
def test_rows_that_a_class_lacks_are_padding(draw, shared, support, query):
    source = source_of("image", (5, 4, 2))
    source = source._replace(group=source.group * (not shared))
    pool = Pool({"image": source}, Inputs({}, {}))
    found = dealt(pool, 20, ways=3, shots=2, queries=2, draw=draw)
    assert np.isfinite(found.support.inputs.values["image"]).all()
    for labels, inputs, counts in (
        (found.support.labels, found.support.inputs, support),
        (found.targets, found.query, query),
    ):
        np.testing.assert_array_equal(np.sort(labels.sum(1)), np.tile(np.sort(counts), (20, 1)))
        there = labels.any(-1)
        owner = inputs.values["image"] // 100
        assert all(len(set(owner[e][there[e]])) == np.count_nonzero(counts) for e in range(20))
    rows = np.concatenate([found.support.inputs.values["image"], found.query.values["image"]], 1)
    there = np.concatenate([found.support.labels, found.targets], 1).any(-1)
    assert all(len(set(r[t])) == t.sum() for r, t in zip(rows, there, strict=True))


@pytest.mark.parametrize("draw", [draw_rows, draw_apart])
def test_more_rows_than_any_class_has_are_padding_too(draw):
    found = dealt(POOL, 2, ways=2, shots=np.int64(12), queries=10, draw=draw)
    assert found.support.labels.shape == (2, 24, 2) and found.targets.shape == (2, 20, 2)
    counts = np.concatenate([found.support.labels, found.targets], 1).sum(1)
    assert 0 < counts.max() <= max(map(max, SIZES.values()))


def test_more_ways_than_classes_are_refused():
    with pytest.raises(ValueError, match="6 ways asked of a pool of 5 classes"):
        sample_episode(jax.random.key(0), POOL, ways=6, shots=1, queries=1)


@pytest.mark.parametrize("shots", [(5, 1), -1])
def test_shots_out_of_order_are_refused(shots):
    with pytest.raises(ValueError, match="low first, and not"):
        sample_episode(jax.random.key(0), POOL, ways=2, shots=shots, queries=1)


def test_a_batch_of_tasks_is_an_episode_for_each_split_key_with_and_without_jit(episodes):
    options = {"tasks": EPISODES, "ways": WAYS, "shots": (1, SHOTS), "queries": QUERIES}
    jax.tree.map(
        np.testing.assert_array_equal, sample_tasks(jax.random.key(0), POOL, **options), episodes
    )


def test_equal_bindings_compile_once_and_carry_the_pool_as_arguments():
    traces = []

    @jax.jit
    def targets(sample, key):
        traces.append(key)
        return sample(key).query.values["image"]

    def bind(pool):
        return bind_pool(sample_episode, pool, ways=2, shots=1, queries=1)

    other = jax.tree.map(lambda x: x + 0, POOL)
    leaves = jax.tree.leaves(bind(POOL))
    assert [id(x) for x in leaves] == [id(x) for x in jax.tree.leaves(POOL)]
    key = jax.random.key(0)
    np.testing.assert_array_equal(targets(bind(POOL), key), targets(bind(other), key))
    assert len(traces) == 1
    targets.lower(bind_pool(sample_episode, POOL, ways=2, shots=1, queries=2), key)
    assert len(traces) == 2


# draw_apart, against the enumeration of all subsets of groups


@partial(jax.jit, static_argnames=("shots", "queries"))
def apart(u, valid, group, shots, queries):
    """Positions of support and query rows, -1 where none was found."""
    drawn = jax.vmap(lambda u: draw_apart(u, valid, group, shots, queries))(u)
    return [jnp.where(rows.found, rows.place, -1) for rows in drawn]


def feasible(groups: np.ndarray, shots: int, queries: int) -> list[tuple[int, ...]]:
    """The subsets of groups that leave enough rows on both sides, tried one by one."""
    names = np.unique(groups).tolist()
    subsets = chain.from_iterable(combinations(names, n) for n in range(len(names) + 1))
    inside = {subset: np.isin(groups, subset).sum() for subset in subsets}
    return [s for s, n in inside.items() if n >= shots and len(groups) - n >= queries]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=2, max_size=8),
    st.sampled_from([(1, 1), (2, 2), (3, 1)]),
    st.integers(0, 2**30),
)
def test_support_and_query_share_no_group_whatever_the_layout(groups, numbers, seed):
    assume(feasible(np.array(groups), *numbers))
    rows = len(groups)
    padded = np.array(groups + [groups[0]] * (8 - rows))
    u = np.random.default_rng(seed).uniform(size=(50, 3, 8)).astype(np.float32)
    support, query = map(np.asarray, apart(u, np.arange(8) < rows, padded, *numbers))
    for s, q in zip(support, query, strict=True):
        assert not set(padded[s]) & set(padded[q])
        assert len(set(s) | set(q)) == sum(numbers) and max(*s, *q) < rows


def test_all_feasible_subsets_of_groups_are_equally_likely():
    groups, shots, queries = np.array([0, 1, 0, 2, 3, 2]), 2, 2
    subsets = feasible(groups, shots, queries)
    expected = Counter()
    for subset in subsets:
        inside = np.isin(groups, subset)
        supports = list(combinations(np.flatnonzero(inside).tolist(), shots))
        rests = list(combinations(np.flatnonzero(~inside).tolist(), queries))
        for pair in [(s, q) for s in supports for q in rests]:
            expected[pair] += 1 / len(subsets) / len(supports) / len(rests)
    # Two positions are padding that repeats a group.
    u = jax.random.uniform(jax.random.key(5), (20000, 3, 8))
    drawn = apart(u, np.arange(8) < 6, np.array([*groups, 0, 0]), shots, queries)
    support, query = (np.sort(x).tolist() for x in drawn)
    pairs = zip(map(tuple, support), map(tuple, query), strict=True)
    assert_frequencies(Counter(pairs), expected)


def test_many_groups_neither_overflow_nor_lose_their_balance():
    u = jax.random.uniform(jax.random.key(6), (4000, 3, 300))
    support, query = apart(u, np.ones(300, bool), np.arange(300), 1, 1)
    assert (support != query).all()
    # Without repeats of groups the rows are drawn uniformly.
    assert_rate(np.asarray(support) < 100, 1 / 3)
    assert_rate(np.asarray(query) < 100, 1 / 3)


def test_emoji_of_the_test_split_are_queried_in_another_team_s_drawing():
    table = take_modalities(emoji(), ("image",))
    source = make_pool(take_classes(table, split_by_digest(table.classes)["test"])).sources["image"]
    teams = Inputs({"team": source.group}, {"team": jnp.ones(len(source.group))})
    pool = Pool({"image": source._replace(inputs=teams)}, Inputs({}, {}))
    drawn = dealt(pool, 500, ways=20, shots=5, queries=2, draw=draw_apart)
    support = drawn.support.inputs.values["team"].reshape(500, 20, 5, 1)
    query = drawn.query.values["team"].reshape(500, 20, 1, 2)
    assert not (support == query).any()
    np.testing.assert_array_equal(drawn.support.labels[0], np.repeat(np.eye(20), 5, axis=0))
    np.testing.assert_array_equal(drawn.targets[0], np.repeat(np.eye(20), 2, axis=0))
    assert set(np.unique(support)) == set(np.unique(query)) == set(range(7))
