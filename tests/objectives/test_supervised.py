"""Training on single rows against the formula, and its learned classifiers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fsjax import heads
from fsjax.objectives.supervised import init_classes, supervised
from fsjax.types import Inputs, Labelled, Network

KEY = jax.random.key(0)
ROWS, INPUTS, FEATURES, CLASSES = 12, 5, 4, 3
X = jax.random.normal(KEY, (ROWS, INPUTS))
TARGETS = jnp.eye(CLASSES)[jnp.arange(ROWS) % CLASSES]
BATCH = Labelled(Inputs({"x": X}, {"x": jnp.ones(ROWS)}), TARGETS)


def apply(params, inputs, *, weight=None, stats=None, key=None, train=False):
    assert train
    return inputs.values["x"] @ params, {}


NETWORK = Network(lambda key, inputs: jax.random.normal(key, (INPUTS, FEATURES)), apply)
MAKE = {"linear": heads.linear, "cosine": heads.cosine, "prototype": heads.prototype}


def setting(name):
    head, network = MAKE[name](), NETWORK.init(KEY, BATCH.inputs)
    params = head.init(KEY, X @ network, TARGETS)
    classes = init_classes(KEY, head, params, features=FEATURES, classes=CLASSES)
    return head, {"network": network, "head": params, "classes": classes}


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("jitted", [False, True])
def test_gradients_are_those_of_the_cross_entropy_of_the_learned_classes(name, jitted):
    head, params = setting(name)
    objective = supervised(NETWORK, head)
    found, metrics = (jax.jit(objective) if jitted else objective)(params, BATCH, KEY, 0)

    def loss(params):
        logits = head.score(params["head"], params["classes"], X @ params["network"])
        return optax.softmax_cross_entropy(logits, TARGETS).mean(), logits

    (value, logits), expected = jax.value_and_grad(loss, has_aux=True)(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-6), found, expected)
    assert metrics["loss"] == pytest.approx(float(value), rel=1e-5)
    assert metrics["accuracy"] == np.mean(logits.argmax(-1) == TARGETS.argmax(-1))
    assert jnp.any(found["network"]) and jnp.any(jax.tree.leaves(found["classes"])[0])


def test_rows_without_a_target_are_neither_right_nor_wrong():
    head, params = setting("linear")
    first = BATCH.inputs.values["x"][:1]  # all are answered as this one is
    rows = BATCH._replace(inputs=Inputs({"x": jnp.repeat(first, ROWS, 0)}, BATCH.inputs.present))
    for place in range(CLASSES):
        told = jnp.zeros_like(TARGETS).at[0, place].set(1.0)
        _, found = supervised(NETWORK, head)(params, rows._replace(targets=told), KEY, 0)
        z = first @ params["network"]
        logits = head.score(params["head"], params["classes"], z)[0]
        assert found["accuracy"] == (logits.argmax() == place)


@pytest.mark.parametrize("name", MAKE)
def test_the_classes_learn_to_tell_the_rows_apart(name):
    head, params = setting(name)
    objective, optimizer = supervised(NETWORK, head), optax.adam(0.05)

    def step(carry, _):
        params, state = carry
        gradients, metrics = objective(params, BATCH, KEY, 0)
        updates, state = optimizer.update(gradients, state)
        return (optax.apply_updates(params, updates), state), metrics["loss"]

    _, losses = jax.lax.scan(step, (params, optimizer.init(params)), length=150)
    assert losses[-1] < 0.6 * losses[0]


def test_classes_are_drawn_by_the_key_in_the_shape_of_the_task():
    head = heads.linear()
    one, other = (
        init_classes(jax.random.key(i), head, {}, features=400, classes=20) for i in (0, 1)
    )
    assert one.shape == (401, 20) and (one != other).any()
    assert abs(one.std() * 20 - 1) < 0.05


def test_a_head_that_keeps_its_support_rows_is_refused():
    head = heads.matching()
    params = head.init(KEY, X, TARGETS)
    with pytest.raises(ValueError, match="keeps its support rows"):
        init_classes(KEY, head, params, features=INPUTS, classes=CLASSES)
