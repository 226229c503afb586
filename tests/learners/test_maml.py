"""The gradient learner against steps written out, and what of it adapts."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.heads import prototype
from fsjax.learners.gradient import constant, inner_loop, per_parameter
from fsjax.learners.last_layer import learned_layer, prototype_layer
from fsjax.learners.maml import along_path, maml, of_known_classes
from fsjax.objectives.losses import cross_entropy, mean_squared_error
from fsjax.types import Inputs, Network, Support

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
INPUTS, FEATURES, WAYS, RATE, STEPS = 4, 3, 2, 0.3, 2
LABELS = jnp.eye(WAYS)[jnp.array([0, 1, 1, 0, 1])]


def rows(number):
    x = jnp.array(RNG.normal(size=(number, INPUTS)), jnp.float32)
    return Inputs({"x": x}, {"x": jnp.ones(number)})


def apply(params, inputs, *, weight=None, stats=None, key=None, train=False):
    x = inputs.values["x"]
    x = x if weight is None else jnp.where(weight[:, None] > 0, x, 0.0)  # as `Multimodal`
    return jnp.tanh(x @ params["encoder"]["w"]) * params["fusion"]["s"], {}


def init(key, inputs):
    w = jax.random.normal(key, (INPUTS, FEATURES))
    return {"encoder": {"w": w}, "fusion": {"s": jnp.ones(FEATURES)}}


NETWORK = Network(init, apply)
SUPPORT = Support(rows(5), LABELS, Inputs({}, {}))
QUERY = rows(3)
MAKE = partial(maml, NETWORK, loss=cross_entropy, rates=constant(RATE, steps=STEPS))


def parameters(learner):
    return jax.tree.map(
        lambda x: x + 0.1 * jnp.sin(jnp.arange(x.size)).reshape(x.shape),
        learner.init(KEY, SUPPORT),
    )


def written_out(params, layer, moving, steps=STEPS):
    """Logits of the query after steps on the parts that move."""
    x, y, query = SUPPORT.inputs.values["x"], SUPPORT.labels, QUERY.values["x"]
    state = {"network": params["network"], "head": layer}

    def logits(state, x):
        net, head = state["network"], state["head"]
        return (
            jnp.tanh(x @ net["encoder"]["w"]) * net["fusion"]["s"] @ head["kernel"] + head["bias"]
        )

    for _ in range(steps):
        g = jax.grad(lambda s: -(y * jax.nn.log_softmax(logits(s, x))).sum(1).mean())(state)
        paths = jax.tree_util.tree_map_with_path(
            lambda path, p, g: p - RATE * g * any(m in jax.tree_util.keystr(path) for m in moving),
            state,
            g,
        )
        state = paths
    return logits(state, query)


def predicted(learner, params, support=SUPPORT, **options):
    return learner.predict(params, learner.adapt(params, support, **options), QUERY)


@pytest.mark.parametrize("jitted", [False, True])
@pytest.mark.parametrize(
    ("adapts", "moving"),
    [
        (("network", "head"), ("network", "head")),
        (("head",), ("head",)),
        (("network",), ("network",)),
        (("network/fusion", "head"), ("fusion", "head")),
    ],
)
def test_predictions_are_those_of_steps_written_out(adapts, moving, jitted):
    learner = MAKE(learned_layer(), adapts=adapts)
    params = parameters(learner)
    run = jax.jit(partial(predicted, learner)) if jitted else partial(predicted, learner)
    expected = written_out(params, params["head"], moving)
    np.testing.assert_allclose(run(params), expected, rtol=1e-4, atol=1e-5)


def test_a_prototype_layer_starts_as_the_nearest_mean_and_takes_any_ways():
    learner = MAKE(prototype_layer())
    params = parameters(learner)
    z = apply(params["network"], SUPPORT.inputs)[0]
    head, q = prototype(), apply(params["network"], QUERY)[0]
    layer = prototype_layer()
    start = layer.score(params["head"], layer.fit(params["head"], z, LABELS), q)
    nearest = head.score(params["head"], head.fit(params["head"], z, LABELS), q)
    np.testing.assert_allclose(
        jax.nn.log_softmax(start), jax.nn.log_softmax(nearest), rtol=1e-4, atol=1e-5
    )
    expected = written_out(params, layer.fit(params["head"], z, LABELS), ("network", "head"))
    np.testing.assert_allclose(predicted(learner, params), expected, rtol=1e-4, atol=1e-5)
    three = SUPPORT._replace(labels=jnp.eye(3)[jnp.array([0, 1, 1, 2, 0])])
    assert predicted(learner, params, three).shape == (3, 3)


def test_a_class_without_rows_can_be_kept_out_of_the_loss():
    learner = MAKE(prototype_layer(), loss=of_known_classes(cross_entropy))
    params = parameters(learner)
    more = SUPPORT._replace(labels=jnp.pad(LABELS, [(0, 0), (0, 1)]))
    expected, found = (predicted(learner, params, support) for support in (SUPPORT, more))
    np.testing.assert_allclose(found[:, :WAYS], expected, rtol=1e-4, atol=1e-5)


def test_padding_changes_nothing_and_gradients_reach_all_that_is_learned():
    learner = maml(NETWORK, learned_layer(), cross_entropy, rates=per_parameter(0.1, steps=STEPS))
    params = parameters(learner)

    def pad(x, value):
        return jnp.concatenate([x, jnp.full((2, *x.shape[1:]), value, x.dtype)])

    inputs = Inputs({"x": pad(SUPPORT.inputs.values["x"], jnp.nan)}, {"x": jnp.ones(7)})
    padded = Support(inputs, pad(LABELS, 0.0), Inputs({}, {}))
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    close(predicted(learner, params, padded), predicted(learner, params))
    gradients = [
        jax.grad(lambda p, s=s: jnp.square(predicted(learner, p, s, train=True)).sum())(params)
        for s in (SUPPORT, padded)
    ]
    jax.tree.map(close, *gradients)
    assert all(np.any(g) for g in jax.tree.leaves(gradients[0]))


def test_more_steps_at_test_than_in_training():
    learner = MAKE(learned_layer(), test_steps=5)
    params = parameters(learner)
    moving = ("network", "head")
    for train, steps in ((True, STEPS), (False, 5)):
        expected = written_out(params, params["head"], moving, steps)
        found = predicted(learner, params, train=train)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_first_order_changes_the_outer_gradient_and_not_the_prediction():
    loops = (partial(inner_loop, first_order=first) for first in (False, True))
    one, other = (MAKE(learned_layer(), loop=loop) for loop in loops)
    params = parameters(one)
    np.testing.assert_array_equal(predicted(one, params), predicted(other, params))
    a, b = (
        jax.grad(lambda p, m=m: jnp.square(predicted(m, p)).sum())(params) for m in (one, other)
    )
    assert np.abs(a["network"]["encoder"]["w"] - b["network"]["encoder"]["w"]).max() > 1e-3


def test_the_path_holds_the_task_after_every_step():
    learner = MAKE(learned_layer(), test_steps=4)
    params = parameters(learner)
    logits = jax.jit(partial(predicted, along_path(learner)))(params)
    for steps in range(5):
        expected = written_out(params, params["head"], ("network", "head"), steps)
        np.testing.assert_allclose(logits[steps], expected, rtol=1e-4, atol=1e-5)


def test_each_step_may_have_parameters_of_its_own():
    """The scale `s` of step i is s + added[i], and does not adapt itself."""
    learner = MAKE(learned_layer(), per_step=lambda path: path == "network/fusion/s", test_steps=4)
    params = learner.init(KEY, SUPPORT)
    assert params["steps"]["network/fusion/s"].shape == (STEPS + 1, FEATURES)
    added = jnp.asarray(RNG.normal(size=(STEPS + 1, FEATURES)), jnp.float32)
    params |= {"steps": {"network/fusion/s": added}}
    moving = {"w": params["network"]["encoder"]["w"], "head": params["head"]}

    def logits(moving, x, i):
        s = params["network"]["fusion"]["s"] + added[min(i, STEPS)]
        z = jnp.tanh(x @ moving["w"]) * s
        return z @ moving["head"]["kernel"] + moving["head"]["bias"]

    for i in range(5):
        found = predicted(along_path(learner), params)[i]
        expected = logits(moving, QUERY.values["x"], i)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

        def loss(moving, i=i):
            return cross_entropy(logits(moving, SUPPORT.inputs.values["x"], i), LABELS)

        moving = jax.tree.map(lambda p, g: p - RATE * g, moving, jax.grad(loss)(moving))
    gradient = jax.grad(lambda p: jnp.square(predicted(learner, p, train=True)).sum())(params)
    assert np.abs(gradient["steps"]["network/fusion/s"]).max(1).min() > 0


def test_rows_are_weighed_as_the_caller_says():
    """Targets of a regression may be negative, or of sum zero, and are no padding."""
    labels = jnp.array([[-1.0], [0.0], [2.0], [0.5], [-3.0]])
    learner = maml(
        NETWORK,
        learned_layer(),
        mean_squared_error,
        rates=constant(RATE, steps=1),
        adapts=("head",),
        weigh=lambda y: jnp.ones(len(y)),
    )
    support = SUPPORT._replace(labels=labels)
    params = learner.init(KEY, support)
    z, layer = apply(params["network"], SUPPORT.inputs)[0], params["head"]
    error = z @ layer["kernel"] + layer["bias"] - labels
    kernel = layer["kernel"] - RATE * 2 / 5 * z.T @ error
    bias = layer["bias"] - RATE * 2 / 5 * error.sum(0)
    expected = apply(params["network"], QUERY)[0] @ kernel + bias
    np.testing.assert_allclose(predicted(learner, params, support), expected, rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_is_said():
    learner = MAKE(learned_layer())
    params = parameters(learner)
    with pytest.raises(ValueError, match="learned for 2 ways and is asked for 3"):
        learner.adapt(params, SUPPORT._replace(labels=jnp.eye(3)[jnp.array([0, 1, 1, 2, 0])]))
    with pytest.raises(ValueError, match="nothing is named network/fuson; there are network/enc"):
        MAKE(learned_layer(), adapts=("network/fuson",)).init(KEY, SUPPORT)
    for none in ({"adapts": ()}, {"adapts": ("head",), "per_step": lambda path: True}):
        with pytest.raises(ValueError, match="left to adapt: name some of network/encoder/w"):
            MAKE(learned_layer(), **none).init(KEY, SUPPORT)
    with pytest.raises(ValueError, match="temperature must be positive"):
        prototype_layer(temperature=0.0)
