"""Episodes with queries of unknown classes, drawn from a pool whose rows tell their class."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.episodes.open_set import sample_open_episode
from fsjax.episodes.sample import draw_apart, draw_rows
from fsjax.types import Inputs, Pool, Source

CLASSES, ROWS = 6, 4
LABELS = jnp.repeat(jnp.arange(CLASSES), ROWS)
ONES = jnp.ones(CLASSES * ROWS)
SOURCE = Source(
    Inputs({"label": LABELS}, {"label": ONES}),
    jnp.arange(CLASSES * ROWS).reshape(CLASSES, ROWS),
    jnp.full(CLASSES, ROWS),
    jnp.tile(jnp.arange(ROWS), CLASSES),
)
IDS = jnp.arange(CLASSES)
POOL = Pool({"rows": SOURCE}, Inputs({"id": IDS}, {"id": jnp.ones(CLASSES)}))


@pytest.mark.parametrize("draw", [draw_rows, draw_apart])
@pytest.mark.parametrize("jitted", [False, True])
def test_queries_of_unknown_classes_have_no_target_and_no_support(draw, jitted):
    def sample(key):
        settings = {"ways": 2, "unknown": 3, "shots": 2, "queries": 1, "draw": draw}
        return sample_open_episode(key, POOL, **settings)

    for i in range(5):
        support, query, targets = (jax.jit(sample) if jitted else sample)(jax.random.key(i))
        weight = np.asarray(support.labels.sum(-1))
        supported = np.asarray(support.inputs.values["label"])[weight > 0]
        known = np.asarray(targets.any(-1))
        asked = np.asarray(query.values["label"])
        assert support.labels.shape == (10, 2) and targets.shape == (5, 2)
        assert weight.sum() == 4 and known.tolist() == [True] * 2 + [False] * 3
        ids = np.asarray(support.side.values["id"])
        assert len(ids) == 2 and set(supported) == set(ids) == set(asked[known])
        assert len(set(asked)) == 5 and not set(asked[~known]) & set(ids)
        np.testing.assert_array_equal(ids[np.argmax(targets[known], -1)], asked[known])
