"""The metric learner against a computation by hand, and rows that must not count."""

from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.encoders.multimodal import multimodal
from fsjax.encoders.norms import SupportNorm
from fsjax.encoders.tabular import MLP, one_token
from fsjax.fusion.pooled import Concat
from fsjax.heads.prototype import prototype
from fsjax.learners.metric import metric
from fsjax.types import Inputs, Network, Support

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
LABELS = jnp.eye(2)[jnp.array([0, 1, 1, 0, 1])]


class Normed(MLP):
    """Statistics of the support set, which padding rows must not enter."""

    @nn.compact
    def __call__(self, x, weight, *, train=False):
        return one_token(SupportNorm()(x, weight, train=train))


def inputs(rows: int) -> Inputs:
    values = {"a": RNG.normal(size=(rows, 3)), "b": RNG.normal(size=(rows, 2))}
    present = {"a": np.ones(rows), "b": np.arange(rows) % 2}
    return jax.tree.map(lambda x: jnp.array(x, jnp.float32), Inputs(values, present))


SUPPORT = Support(inputs(5), LABELS, Inputs({}, {}))
QUERY = inputs(4)


@cache
def learner(encoder=MLP):
    encoders = {"a": encoder(hidden=(), features=2), "b": encoder(hidden=(), features=3)}
    return metric(multimodal(encoders, Concat()), prototype())


@partial(jax.jit, static_argnums=0)
def logits(learner, params, support, query=QUERY):
    return learner.predict(params, learner.adapt(params, support), query)


@cache
def parameters(learner):
    """Random ones of the right shapes; `init` itself would take seconds to compile."""
    shapes = jax.eval_shape(learner.init, KEY, SUPPORT)
    return jax.tree.map(lambda x: jnp.array(RNG.normal(size=x.shape), x.dtype), shapes)


@partial(jax.jit, static_argnums=0)
def logits_and_gradient(learner, params, support):
    out, pull = jax.vjp(lambda p: logits(learner, p, support), params)
    return out, pull(jnp.ones_like(out))


def padded(garbage: float) -> Support:
    """The support set with two rows more that have no label."""
    values = {
        m: jnp.concatenate([x[:2], jnp.full((2, x.shape[1]), garbage), x[2:]])
        for m, x in SUPPORT.inputs.values.items()
    }
    present = {m: jnp.insert(x, 2, jnp.ones(2)) for m, x in SUPPORT.inputs.present.items()}
    labels = jnp.insert(LABELS, 2, jnp.zeros((2, 2)), axis=0)
    return Support(Inputs(values, present), labels, SUPPORT.side)


def test_logits_are_those_computed_by_hand():
    made = learner()
    params = parameters(made)
    network = jax.tree.map(np.asarray, params["network"])

    def embed(x):
        def part(m):
            dense = network[f"encoders_{m}"]["Dense_0"]
            z = np.asarray(x.values[m]) @ dense["kernel"] + dense["bias"]
            norm = network["fusion"][f"norm_{m}"]
            z = (z - z.mean(1, keepdims=True)) / np.sqrt(z.var(1, keepdims=True) + 1e-6)
            return (z * norm["scale"] + norm["bias"]) * np.asarray(x.present[m])[:, None]

        return np.concatenate([part("a"), part("b")], axis=1)

    z = embed(SUPPORT.inputs)
    means = np.stack([z[[0, 3]].mean(0), z[[1, 2, 4]].mean(0)])
    distance = [[np.square(q - m).sum() for m in means] for q in embed(QUERY)]
    expected = -np.array(distance) / np.exp(params["head"]["log_temperature"])

    np.testing.assert_allclose(logits(made, params, SUPPORT), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("garbage", [1e3, np.inf, np.nan])
@pytest.mark.parametrize("encoder", [MLP, Normed])
def test_padding_rows_change_nothing_whatever_they_hold(encoder, garbage):
    made = learner(encoder)
    params = parameters(made)
    ours = logits_and_gradient(made, params, padded(garbage))
    expected = logits_and_gradient(made, params, SUPPORT)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), ours, expected)


def test_padding_rows_change_no_initial_parameter():
    made = learner(Normed)
    ours, expected = (jax.jit(made.init)(KEY, support) for support in (padded(np.nan), SUPPORT))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), ours, expected)


def test_absent_modalities_do_not_tell_anything_even_if_nan():
    made = learner()
    params = parameters(made)
    hidden = jnp.where(SUPPORT.inputs.present["b"][:, None] > 0, SUPPORT.inputs.values["b"], np.nan)
    values = {"a": SUPPORT.inputs.values["a"], "b": hidden}
    changed = SUPPORT._replace(inputs=Inputs(values, SUPPORT.inputs.present))
    ours, expected = (logits(made, params, support) for support in (changed, SUPPORT))
    np.testing.assert_array_equal(ours, expected)


def test_queries_are_normalised_by_the_statistics_of_the_support_set():
    made = learner(Normed)
    params = parameters(made)
    alone = [jax.tree.map(lambda x, i=i: x[i : i + 1], QUERY) for i in range(4)]
    one_by_one = jnp.concatenate([logits(made, params, SUPPORT, query) for query in alone])
    np.testing.assert_allclose(one_by_one, logits(made, params, SUPPORT), rtol=1e-5)


def test_the_network_gets_keys_only_if_the_learner_does_and_different_ones():
    seen = []

    def apply(params, inputs, *, weight=None, stats=None, key=None, train=False):
        seen.append((None if key is None else jax.random.key_data(key).tolist(), train))
        return inputs.values["a"], {}

    made = metric(Network(lambda key, inputs: {}, apply), prototype())
    params = made.init(KEY, SUPPORT)
    seen.clear()
    for options in ({}, {"key": KEY, "train": True}):
        made.predict(params, made.adapt(params, SUPPORT, **options), QUERY, **options)
    assert seen[:2] == [(None, False)] * 2
    assert seen[2][0] != seen[3][0] and seen[2][1] and seen[3][1]
