"""Fine-tuning against steps of optax written out, and rates that fall from layer to layer."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh

from fsjax.encoders.low_rank import low_rank, merged
from fsjax.encoders.multimodal import multimodal
from fsjax.encoders.tabular import MLP
from fsjax.encoders.transfer import begun
from fsjax.evaluation.episodic import evaluate
from fsjax.fusion.pooled import Plain
from fsjax.heads import prototype
from fsjax.learners import metric
from fsjax.learners.finetune import by_optimizer, finetune, layer_depths
from fsjax.learners.gradient import constant, per_depth
from fsjax.objectives.losses import cross_entropy, squared_error
from fsjax.types import Episode, Inputs, Support

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
RATE, STEPS, DECAY = 0.05, 3, 0.5
NETWORK = multimodal({"x": MLP((6,), 4)}, Plain())
HEAD = prototype()
ADAM = optax.scale_by_adam()
LABELS = jnp.eye(3)[jnp.array([0, 1, 2, 2, 1])]


def rows(number):
    x = jnp.asarray(RNG.normal(size=(number, 5)), jnp.float32)
    return Inputs({"x": x}, {"x": jnp.ones(number)})


SUPPORT, QUERY = Support(rows(5), LABELS, Inputs({}, {})), rows(4)
PARAMS = metric(NETWORK, HEAD).init(KEY, SUPPORT)
MAKE = partial(finetune, NETWORK, HEAD, cross_entropy, loop=by_optimizer(ADAM), begins=begun)
FALLING = per_depth(RATE, steps=STEPS, decay=DECAY, depths=layer_depths)


def predicted(learner, params=PARAMS, support=SUPPORT, **options):
    task = learner.adapt(params, support, **options)
    return learner.predict(params, task, QUERY, **options)


def loss_of(network, means):
    z, _ = NETWORK.apply(network, SUPPORT.inputs)
    return cross_entropy(HEAD.score(PARAMS["head"], means, z), LABELS)


@jax.jit
def logits_of(network, means):
    return HEAD.score(PARAMS["head"], means, NETWORK.apply(network, QUERY)[0])


MEANS = HEAD.fit(PARAMS["head"], NETWORK.apply(PARAMS["network"], SUPPORT.inputs)[0], LABELS)
BEGINNING = {"network": PARAMS["network"], "head": MEANS}


def written_out(rate_of):
    """Logits after steps of optax.adam, each array at a rate of its own."""
    state, moments = BEGINNING, ADAM.init(BEGINNING)
    for _ in range(STEPS):
        ways, moments = stepped(state, moments)
        state = jax.tree_util.tree_map_with_path(
            lambda path, p, w: p - rate_of(jax.tree_util.keystr(path)) * w, state, ways
        )
    return logits_of(state["network"], state["head"])


@jax.jit
def stepped(state, moments):
    slopes = jax.grad(lambda s: loss_of(s["network"], s["head"]))(state)
    return ADAM.update(slopes, moments)


def falling(path):
    return RATE * DECAY ** (0 if "head" in path else 2 - ("Dense_1" in path))


@pytest.mark.parametrize(
    ("parts", "rates", "rate_of"),
    [
        (("head",), constant(RATE, steps=STEPS), lambda path: RATE * ("head" in path)),
        (("network", "head"), FALLING, falling),
        (
            ("network/encoders_x/Dense_1", "head"),
            FALLING,
            lambda path: falling(path) * ("Dense_0" not in path),
        ),
    ],
)
def test_predictions_are_those_of_optax_steps_written_out(parts, rates, rate_of):
    found = jax.jit(partial(predicted, MAKE(rates=rates, parts=parts)))(PARAMS)
    np.testing.assert_allclose(found, written_out(rate_of), rtol=1e-3, atol=1e-3)
    assert np.abs(found - logits_of(**{"network": PARAMS["network"], "means": MEANS})).max() > 0.1


@pytest.mark.parametrize("loss", [cross_entropy, squared_error])
def test_a_class_without_rows_changes_nothing_of_the_others(loss):
    how = {"loop": by_optimizer(ADAM), "begins": begun, "rates": FALLING}
    learner = finetune(NETWORK, HEAD, loss, **how)
    more = SUPPORT._replace(labels=jnp.pad(LABELS, [(0, 0), (0, 1)]))
    expected, found = (predicted(learner, support=support) for support in (SUPPORT, more))
    np.testing.assert_allclose(found[:, :3], expected, rtol=1e-4, atol=1e-4)
    assert jnp.isfinite(found).all()


def test_in_training_it_is_the_metric_learner_and_so_is_its_gradient():
    learners = MAKE(rates=FALLING), metric(NETWORK, HEAD)

    def traced(learner):
        def loss(params):
            return jnp.square(predicted(learner, params, key=KEY, train=True)).sum()

        return str(jax.make_jaxpr(jax.grad(loss))(PARAMS))

    found, expected = map(traced, learners)
    assert found == expected and found.count("dot_general") > 4
    shapes = [jax.tree.map(jnp.shape, learner.init(KEY, SUPPORT)) for learner in learners]
    assert shapes[0] == shapes[1] == jax.tree.map(jnp.shape, PARAMS)


def test_adapters_alone_are_tuned_beside_a_network_that_stays():
    learner = MAKE(
        rates=constant(RATE, steps=STEPS),
        begins=lambda network, params: low_rank(begun(network, params), rank=2),
        parts=("network/adapters", "head"),
    )
    task = jax.jit(partial(learner.adapt, support=SUPPORT))(PARAMS)
    jax.tree.map(np.testing.assert_array_equal, task.network["base"], PARAMS["network"])
    b = task.network["adapters"]["encoders_x"]["Dense_0"]["kernel"]["b"]
    assert np.abs(b).min() > 0
    expected = logits_of(merged(task.network), task.head)
    np.testing.assert_allclose(learner.predict(PARAMS, task, QUERY), expected, rtol=1e-4, atol=1e-4)


def test_test_episodes_can_be_spread_over_devices():
    learner = MAKE(
        rates=FALLING,
        begins=lambda network, params: low_rank(begun(network, params)),
        parts=("network/adapters", "head"),
    )

    @jax.tree_util.Partial
    def sample(key):
        shift = jax.random.normal(key)
        moved = jax.tree.map(lambda x: x + shift, (SUPPORT.inputs, QUERY))
        return Episode(SUPPORT._replace(inputs=moved[0]), moved[1], LABELS[:4])

    mesh = Mesh(jax.devices(), ("tasks",))
    figures = partial(evaluate, learner, sample=sample, num_episodes=4, mesh=mesh)
    assert jax.eval_shape(figures, PARAMS, KEY)["accuracy"].shape == (4,)


def test_layers_are_counted_from_the_head_down_to_the_lowest():
    paths = {
        "head": 0,
        "network/fusion/project_x/kernel": 1,
        "network/encoders_image/ConvBlock_3/Conv3x3_0/kernel": 2,
        "network/encoders_image/ConvBlock_3/CalibratedNorm_0/_Affine_0/bias": 2,
        "network/encoders_image/ConvBlock_0/Conv3x3_0/kernel": 5,
        "network/encoders_x_7/Dense_1/kernel": 2,
        "network/adapters/encoders_x_7/encoder/Dense_0/kernel/a": 3,
        "network/encoders_text/embedding": 2,
    }
    assert layer_depths(paths) == paths
    # Only layers that are tuned count.
    alone = "network/encoders_x/Dense_1/kernel", "network/encoders_x/Dense_0/kernel"
    assert layer_depths(alone) == {alone[0]: 0, alone[1]: 1}
    assert layer_depths(["head", alone[1]]) == {"head": 0, alone[1]: 1}
    bare = {"head": 0, "network/Dense_1/kernel": 1, "network/Dense_0/kernel": 2}
    assert layer_depths(bare) == bare


def test_what_does_not_fit_is_said():
    for decay in (0.0, 1.5):
        with pytest.raises(ValueError, match="a factor above 0 and up to 1"):
            per_depth(RATE, steps=STEPS, decay=decay, depths=layer_depths)
    with pytest.raises(ValueError, match="a step at least"):
        per_depth(RATE, steps=0, decay=DECAY, depths=layer_depths)
    with pytest.raises(ValueError, match="nothing is named network/fusion; there are"):
        MAKE(rates=FALLING, parts=("network/fusion",)).adapt(PARAMS, SUPPORT)
