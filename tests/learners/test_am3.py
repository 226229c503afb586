"""AM3 against its formula, and what it makes of classes of which something is missing."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.encoders.multimodal import multimodal
from fsjax.encoders.tabular import MLP, Raw
from fsjax.fusion.pooled import Plain
from fsjax.heads import prototype
from fsjax.learners import am3
from fsjax.types import Inputs, Support

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
WAYS, D = 3, 5
LABELS = np.eye(WAYS, dtype=np.float32)[[0, 0, 1, 2]]


def numbers(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def inputs(**values):
    return Inputs(values, {m: np.ones(len(x), np.float32) for m, x in values.items()})


ROWS, QUERY = inputs(x=numbers(4, D)), inputs(x=numbers(6, D))
SIDE = inputs(words=numbers(WAYS, 7), tags=numbers(WAYS, 4))


def network(kind, encoder=None):
    return multimodal({kind: encoder or MLP((), D)}, Plain())


def learner(*kinds):
    return am3(network("x", Raw()), {kind: network(kind) for kind in kinds}, prototype(), hidden=8)


def dense(layer, x):
    return x @ layer["kernel"] + layer["bias"]


def by_hand(params, support):
    """Prototypes class by class."""
    rows = support.inputs.values["x"]
    z = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    mixed = []
    for w in range(WAYS):
        has = support.labels[:, w] > 0
        parts, counts = [z[has].mean(0) if has.any() else np.zeros(D)], [float(has.any())]
        for kind, own in params["side"].items():
            (encoder,) = own["network"].values()
            e = dense(encoder["Dense_0"], support.side.values[kind][w])
            layers = own["told"]
            place = dense(layers["place"], np.maximum(dense(layers["read"], e), 0))
            h = dense(layers["against"], np.maximum(dense(layers["weigh"], place), 0))[0]
            parts.append(place)
            counts.append(np.exp(-h) * support.side.present[kind][w])
        mixed.append(
            sum(c * p for c, p in zip(counts, parts, strict=True)) / max(sum(counts), 1e-9)
        )
    return np.stack(mixed)


@pytest.fixture(scope="module", params=[("words",), ("words", "tags")], ids=len)
def made(request):
    method = learner(*request.param)
    support = Support(ROWS, LABELS, SIDE)
    return method, jax.jit(method.init)(KEY, support), jax.jit(method.adapt)


@pytest.mark.parametrize("missing", ["nothing", "rows of a class", "a description", "both"])
def test_prototypes_are_mixed_by_the_formula(made, missing):
    _, params, adapt = made
    labels, present = LABELS.copy(), np.ones(WAYS, np.float32)
    if missing in ("rows of a class", "both"):
        labels[3] = 0
    if missing in ("a description", "both"):
        present[2] = 0
    side = SIDE._replace(present={m: present for m in SIDE.present})
    support = Support(ROWS, labels, side)
    ours = adapt(params, support).fitted
    np.testing.assert_allclose(ours, by_hand(params, support), rtol=1e-4, atol=1e-5)
    assert bool(np.any(ours[2])) == (missing != "both")


def test_one_kind_counts_by_the_papers_sigmoid(made):
    _, params, adapt = made
    if len(params["side"]) > 1:
        pytest.skip("the paper has one kind")
    support = Support(ROWS, LABELS, SIDE)
    mixed = adapt(params, support).fitted
    own = params["side"]["words"]
    e, _ = network("words").apply(own["network"], SIDE)
    layers = own["told"]
    place = dense(layers["place"], nn.relu(dense(layers["read"], e)))
    h = dense(layers["against"], nn.relu(dense(layers["weigh"], place)))
    z, _ = network("x", Raw()).apply({}, ROWS)
    means = LABELS.T @ z / LABELS.sum(0)[:, None]
    share = jax.nn.sigmoid(h)
    np.testing.assert_allclose(mixed, share * means + (1 - share) * place, rtol=1e-4, atol=1e-5)


def test_gradients_are_finite_also_where_a_class_has_nothing(made):
    method, params, _ = made
    labels = LABELS * np.array([1, 1, 0])
    gone = {m: np.array([1, 1, 0], np.float32) for m in SIDE.present}
    support = Support(ROWS, labels, SIDE._replace(present=gone))

    @jax.jit
    @jax.grad
    def gradients(params):
        logits = method.predict(params, method.adapt(params, support), QUERY)
        return jnp.square(logits).sum()

    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients(params)))


def test_without_descriptions_it_says_what_it_wants():
    with pytest.raises(ValueError, match="at least"):
        am3(network("x"), {}, prototype())
    support = Support(ROWS, LABELS, inputs(words=numbers(WAYS, 7)))
    with pytest.raises(ValueError, match="no description 'tags'; there is words"):
        jax.eval_shape(learner("tags").init, KEY, support)
