"""A learner that leaves out what it cannot see."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.encoders.multimodal import multimodal
from fsjax.encoders.tabular import Raw
from fsjax.fusion.pooled import Plain
from fsjax.heads.prototype import prototype
from fsjax.learners.described import described
from fsjax.learners.metric import metric
from fsjax.learners.sighted import sighted
from fsjax.types import Inputs, Support

RNG = np.random.default_rng(0)
LEARNER = metric(multimodal({"a": Raw()}, Plain()), prototype())
PARAMS = {"network": {}, "head": {"log_temperature": jnp.zeros(())}}
SEES = sighted(LEARNER, ["a"])


def inputs(seen):
    """Rows with "b" always and "a" where it is seen; what is not seen is infinite."""
    values = RNG.normal(size=(len(seen), 3))
    values[np.array(seen) == 0] = np.inf
    present = {"a": jnp.array(seen, jnp.float32), "b": jnp.ones(len(seen))}
    return Inputs({"a": jnp.asarray(values, jnp.float32)}, present)


@partial(jax.jit, static_argnums=0)
def logits(learner, support, query):
    return learner.predict(PARAMS, learner.adapt(PARAMS, support), query)


def test_rows_that_are_not_seen_are_padding_and_classes_without_rows_no_answer():
    labels = jnp.eye(3)[jnp.array([0, 0, 1, 1, 2])]
    support, query = inputs([1, 0, 1, 1, 0]), inputs([1, 0, 1])
    found = logits(SEES, Support(support, labels, Inputs({}, {})), query)
    kept = jax.tree.map(lambda x: x[jnp.array([0, 2, 3])], support)
    fewer = Support(kept, jnp.eye(2)[jnp.array([0, 1, 1])], Inputs({}, {}))
    expected = logits(LEARNER, fewer, query)
    np.testing.assert_allclose(found[::2, :2], expected[::2], rtol=1e-5)
    assert np.isneginf(found[1]).all() and np.isneginf(found[:, 2]).all()


@pytest.mark.parametrize("seen", [0, 1])
def test_where_all_or_nothing_is_seen_all_or_nothing_is_answered(seen):
    support = Support(inputs([seen] * 5), jnp.eye(3)[jnp.array([0, 0, 1, 1, 2])], Inputs({}, {}))
    query = inputs([1, 1, 1])
    found = logits(SEES, support, query)
    expected = logits(LEARNER, support, query)
    np.testing.assert_allclose(found, expected if seen else np.full((3, 3), -np.inf), rtol=1e-5)


def test_a_class_without_rows_is_known_by_its_description():
    side = {"words": multimodal({"words": Raw()}, Plain())}
    learner = described(multimodal({"a": Raw()}, Plain()), side, prototype())
    words = Inputs({"words": jnp.eye(3)}, {"words": jnp.array([0.0, 1.0, 0.0])})
    support = Support(inputs([1, 0, 0]), jnp.eye(3), words)
    params, query = PARAMS | {"side": {"words": {"network": {}}}}, inputs([1, 0])

    def found(told):
        sees = sighted(learner, ["a"], told)
        return sees.predict(params, sees.adapt(params, support), query)

    answers = np.isfinite([found(()), found(("words",))])
    np.testing.assert_array_equal(answers[:, 0], [[True, False, False], [True, True, False]])
    assert not answers[:, 1].any()
