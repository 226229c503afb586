"""Seeds side by side are what each is alone."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh

from fsjax.training.seeds import _chunk, intact, stack, train_seeds, unstack
from fsjax.training.state import init_state, train_chunk


@jax.tree_util.Partial
def sample(key):
    return jax.random.normal(key, (4, 3))


def objective(params, batch, key, step):
    def loss(w):
        return jnp.square(batch @ w - 1.0).mean() + 0.01 * jax.random.normal(key)

    value, gradient = jax.value_and_grad(loss)(params["w"])
    return {"w": gradient}, {"loss": value}


OPTIONS = {
    "sample": sample,
    "objective": objective,
    "optimizer": optax.adam(0.1),
    "num_steps": 5,
}


def state(seed):
    params = {"w": jax.random.normal(jax.random.key(seed), (3,))}
    return init_state(jax.random.key(100 + seed), params, OPTIONS["optimizer"])


BEGUN = [state(0), state(1), state(2)]


def test_each_seed_ends_as_it_would_alone():
    states, metrics = train_seeds(stack(BEGUN), **OPTIONS)
    assert metrics["loss"].shape == (3, 5)
    for seed in range(3):
        alone, losses = train_chunk(state(seed), **OPTIONS)
        np.testing.assert_allclose(states.params["w"][seed], alone.params["w"], rtol=1e-5)
        np.testing.assert_allclose(metrics["loss"][seed], losses["loss"], rtol=1e-5)
        assert states.key[seed] == alone.key and states.step == 5
    assert intact(states, metrics).all()


def test_a_seed_that_is_not_finite_is_found_and_leaves_the_others_alone():
    broken = state(1)._replace(params={"w": jnp.array([0.0, jnp.inf, 0.0])})
    found = train_seeds(stack([state(0), broken]), **OPTIONS)
    np.testing.assert_array_equal(intact(*found), [True, False])
    alone, _ = train_chunk(state(0), **OPTIONS)
    np.testing.assert_allclose(found[0].params["w"][0], alone.params["w"], rtol=1e-5)


def test_unstacked_states_are_those_that_were_stacked():
    for made, read in zip(BEGUN, unstack(stack(BEGUN)), strict=True):
        assert made.key == read.key
        assert jax.tree.structure(made) == jax.tree.structure(read)
        jax.tree.map(np.testing.assert_array_equal, made._replace(key=()), read._replace(key=()))


def test_states_of_different_steps_are_not_stacked():
    later = BEGUN[1]._replace(step=BEGUN[1].step + 2)
    with pytest.raises(ValueError, match="of the steps 0, 2"):
        stack([BEGUN[0], later])


def test_spread_over_devices_they_do_not_talk():
    mesh = Mesh(jax.devices(), ("seeds",))
    states = stack([state(seed) for seed in range(2 * jax.device_count())])
    found = train_seeds(states, mesh=mesh, **OPTIONS)
    expected = train_seeds(states, **OPTIONS)
    np.testing.assert_allclose(found[0].params["w"], expected[0].params["w"], rtol=1e-5)
    np.testing.assert_allclose(found[1]["loss"], expected[1]["loss"], rtol=1e-5)
    text = _chunk.lower(states, mesh=mesh, **OPTIONS).compile().as_text()
    assert not re.findall(r" (all-[a-z]+|collective-[a-z]+|reduce-scatter)\(", text)


def test_spread_over_four_devices(on_devices):
    on_devices(4, "-k", "do_not_talk", __file__)
