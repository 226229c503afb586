"""Tasks and episodes spread over devices: what one device gives, and no more talk than a sum."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from fsjax.encoders.image import Conv4
from fsjax.encoders.multimodal import Multimodal, as_network, calibrate, encode_pool
from fsjax.encoders.spread import each_block
from fsjax.evaluation.episodic import evaluate
from fsjax.evaluation.figures import negative_log_likelihood
from fsjax.fusion.pooled import Concat
from fsjax.learners.gradient import constant
from fsjax.learners.last_layer import learned_layer
from fsjax.learners.maml import maml
from fsjax.objectives.episodic import over_tasks, query_loss
from fsjax.objectives.losses import cross_entropy
from fsjax.types import Episode, Inputs, Network, Pool, Source, Support

TASKS, KEY, STEP = 8, jax.random.key(0), jnp.zeros((), jnp.int32)


def linear() -> Network:
    return Network(
        lambda key, inputs: jax.random.normal(key, (inputs.values["x"].shape[-1], 16)),
        lambda params, inputs, **_: (jnp.tanh(inputs.values["x"] @ params), {}),
    )


@jax.tree_util.Partial
def sample(key) -> Episode:
    """Two ways, two shots, two queries of each."""
    labels = jnp.tile(jnp.eye(2), (2, 1))
    x = jax.random.normal(key, (2, 4, 32)) + labels @ jnp.ones((2, 32))

    def inputs(x):
        return Inputs({"x": x}, {"x": jnp.ones(len(x))})

    return Episode(Support(inputs(x[0]), labels, Inputs({}, {})), inputs(x[1]), labels)


LEARNER = maml(linear(), learned_layer(), cross_entropy, rates=constant(0.1, steps=2))
PARAMS = LEARNER.init(KEY, sample(KEY).support)


def everywhere() -> Mesh:
    return Mesh(jax.devices(), ("tasks",))


def compiled(mesh, block=None):
    """One step: tasks drawn, and their outer gradient."""

    def step(params, key):
        batch = jax.vmap(sample)(jax.random.split(key, TASKS))
        return over_tasks(query_loss(LEARNER), block=block, mesh=mesh)(params, batch, key, STEP)

    return jax.jit(step).lower(PARAMS, KEY).compile()


@pytest.mark.parametrize("block", [None, 1, 3])
def test_the_outer_gradient_is_that_of_one_device(block):
    ours, one = compiled(everywhere(), block), compiled(None, block)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        ours(PARAMS, KEY),
        one(PARAMS, KEY),
    )
    jax.tree.map(np.testing.assert_array_equal, ours(PARAMS, KEY), ours(PARAMS, KEY))


def test_devices_share_the_work_and_talk_once():
    ours, one = compiled(everywhere()), compiled(None)
    arithmetic = ours.cost_analysis()["flops"] / one.cost_analysis()["flops"]
    assert arithmetic <= 1.1 / jax.device_count()
    talk = re.findall(r" (all-[a-z]+|collective-[a-z]+|reduce-scatter)\(", ours.as_text())
    assert set(talk) <= {"all-reduce"}
    assert len(talk) <= 1


def test_gradients_of_blocks_are_added_up_and_not_kept():
    held = {block: compiled(None, block).memory_analysis() for block in (1, None)}
    of_params = sum(x.nbytes for x in jax.tree.leaves(PARAMS))
    assert held[None].temp_size_in_bytes - held[1].temp_size_in_bytes > (TASKS - 2) * of_params


def test_test_episodes_are_those_of_one_device():
    def figures(mesh, number):
        settings = {"sample": sample, "figures": (negative_log_likelihood,), "mesh": mesh}
        found = evaluate(LEARNER, PARAMS, KEY, num_episodes=number, **settings)
        return found["negative_log_likelihood"]

    np.testing.assert_allclose(figures(everywhere(), 13), figures(None, 13), rtol=1e-5)


@pytest.mark.parametrize("blocks", [1, 6, 8])
def test_blocks_are_divided_and_all_devices_are_told_all(blocks):
    mesh = everywhere()

    def of_block(i, x):
        return {"square": x[i] ** 2, "who": jax.lax.axis_index("tasks") + jnp.zeros_like(i)}

    found = jax.jit(lambda x: each_block(of_block, blocks, mesh, x))(jnp.arange(8.0))
    np.testing.assert_array_equal(found["square"], np.arange(blocks) ** 2.0)
    np.testing.assert_array_equal(found["who"], np.arange(blocks) // -(-blocks // mesh.size))
    assert found["square"].sharding.is_fully_replicated


def test_a_pool_is_encoded_and_a_network_calibrated_as_by_one_device():
    module = Multimodal({"image": Conv4((2, 3))}, Concat())
    network, images = as_network(module), jax.random.normal(KEY, (21, 8, 8, 1))
    inputs = Inputs({"image": images}, {"image": jnp.ones(21)})
    batches = jax.tree.map(lambda x: x[:18].reshape(6, 3, *x.shape[1:]), inputs)
    params = network.init(KEY, inputs)
    index = jnp.arange(21)[:, None]
    source = Source(inputs, index, jnp.ones(21, int), jnp.arange(21))
    pool = Pool({"images": source}, Inputs({}, {}))

    def both(mesh):
        made = jax.jit(lambda params: calibrate(network, params, batches, mesh=mesh))(params)
        encoded = encode_pool(module, made, pool, batch=4, mesh=mesh)
        return made, encoded.sources["images"].inputs.values["image"]

    def close(a, b):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)

    jax.tree.map(close, both(everywhere()), both(None))


def test_all_of_it_on_four_devices(on_devices):
    on_devices(4, "-k", "not four and not None and not 3 and not kept", __file__)
