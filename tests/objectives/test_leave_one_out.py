"""Every row asked in turn, against a loop that leaves it out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax import heads
from fsjax.evaluation.figures import accuracy
from fsjax.learners.embedding import embed_together
from fsjax.objectives.leave_one_out import leave_one_out
from fsjax.types import Episode, Inputs, Network, Support
from tests.heads import naive

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
WAYS, INPUTS, FEATURES = 3, 5, 4


def apply(params, inputs, *, weight=None, stats=None, key=None, train=False):
    assert train
    return jnp.where(weight[:, None] > 0, inputs.values["x"], 0.0) @ params, {}  # as `Multimodal`


NETWORK = Network(lambda key, inputs: jax.random.normal(key, (INPUTS, FEATURES)), apply)


def inputs(rows):
    x = jnp.array(RNG.normal(size=(rows, INPUTS)), jnp.float32)
    return Inputs({"x": x}, {"x": jnp.ones(rows)})


EYE = np.eye(WAYS, dtype=np.float32)
EPISODE = Episode(
    Support(inputs(4), jnp.array(EYE[[0, 1, 2, 1]]), Inputs({}, {})),
    inputs(4),
    jnp.array(EYE[[0, 1, 2, 0]]),
)


def padded(episode):
    """With rows of NaN that have no label, in support and query."""

    def pad(x, value):
        return jnp.concatenate([x, jnp.full((2, *x.shape[1:]), value, x.dtype)])

    def rows(inputs):
        return Inputs({"x": pad(inputs.values["x"], jnp.nan)}, {"x": pad(inputs.present["x"], 1.0)})

    support = Support(
        rows(episode.support.inputs), pad(episode.support.labels, 0.0), Inputs({}, {})
    )
    return Episode(support, rows(episode.query), pad(episode.targets, 0.0))


def loop(name, params, episode):
    """Loss and accuracy of each row by a head fitted to the others, if any is of its class."""
    x = np.concatenate([episode.support.inputs.values["x"], episode.query.values["x"]])
    y = np.float64(np.concatenate([episode.support.labels, episode.targets]))
    z = np.float64(x @ params["network"])
    losses, right = [], []
    for i in range(len(z)):
        others = np.arange(len(z)) != i
        if not (y[others] @ y[i]).any():
            continue
        head = jax.tree.map(np.float64, params["head"])
        logits = getattr(naive, name)(head, z[others], y[others], z[i][None])[0]
        losses.append(np.log(np.exp(logits).sum()) - logits @ y[i])
        right.append(logits.argmax() == y[i].argmax())
    return np.mean(losses), np.mean(right)


@pytest.mark.parametrize(
    ("name", "jitted"),
    [("prototype", False), ("prototype", True), ("matching", True), ("ridge", True)],
)
def test_every_row_is_predicted_by_all_others_and_padding_is_none_of_them(name, jitted):
    head = getattr(heads, name)()
    network = NETWORK.init(KEY, None)
    z = EPISODE.support.inputs.values["x"] @ network
    params = {"network": network, "head": head.init(KEY, z, EPISODE.support.labels)}
    objective = leave_one_out(embed_together(NETWORK), head, watch={"accuracy": accuracy})
    objective = jax.jit(objective) if jitted else objective
    gradients, metrics = objective(params, EPISODE, KEY, 0)
    expected = loop(name, params, EPISODE)
    np.testing.assert_allclose([metrics["loss"], metrics["accuracy"]], expected, rtol=1e-4)
    others, more = objective(params, padded(EPISODE), KEY, 0)
    np.testing.assert_allclose(more["loss"], metrics["loss"], rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-3, 1e-5), others, gradients)
    assert np.any(gradients["network"])


def test_gradients_are_those_of_finite_differences():
    head = heads.prototype()
    params = {"network": NETWORK.init(KEY, None), "head": {"log_temperature": jnp.zeros(())}}
    objective = jax.jit(leave_one_out(embed_together(NETWORK), head))
    gradients, _ = objective(params, EPISODE, KEY, 0)
    step = 1e-3 * jax.random.normal(KEY, (INPUTS, FEATURES))
    ends = [
        objective(params | {"network": params["network"] + sign * step}, EPISODE, KEY, 0)[1]["loss"]
        for sign in (1, -1)
    ]
    slope = jnp.vdot(gradients["network"], step)
    np.testing.assert_allclose((ends[0] - ends[1]) / 2, slope, rtol=1e-2)


def test_a_row_without_another_of_its_class_asks_nothing():
    alone = EPISODE._replace(targets=jnp.array(EYE[[0, 1, 1, 0]]))  # of the last class one row
    params = {"network": NETWORK.init(KEY, None), "head": {"log_temperature": jnp.zeros(())}}
    objective = jax.jit(leave_one_out(embed_together(NETWORK), heads.prototype()))
    _, metrics = objective(params, alone, KEY, 0)
    np.testing.assert_allclose(metrics["loss"], loop("prototype", params, alone)[0], rtol=1e-4)
