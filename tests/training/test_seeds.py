"""Seeds side by side are what each is alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fsjax.training.seeds import intact, stack, train_seeds
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


def test_each_seed_ends_as_it_would_alone():
    states, metrics = train_seeds(stack([state(0), state(1), state(2)]), **OPTIONS)
    assert metrics["loss"].shape == (3, 5)
    for seed in range(3):
        alone, losses = train_chunk(state(seed), **OPTIONS)
        np.testing.assert_allclose(states.params["w"][seed], alone.params["w"], rtol=1e-5)
        np.testing.assert_allclose(metrics["loss"][seed], losses["loss"], rtol=1e-5)
        assert states.key[seed] == alone.key and states.step[seed] == 5
    assert intact(states, metrics).all()


def test_a_seed_that_is_not_finite_is_found_and_leaves_the_others_alone():
    broken = state(1)._replace(params={"w": jnp.array([0.0, jnp.inf, 0.0])})
    found = train_seeds(stack([state(0), broken]), **OPTIONS)
    np.testing.assert_array_equal(intact(*found), [True, False])
    alone, _ = train_chunk(state(0), **OPTIONS)
    np.testing.assert_allclose(found[0].params["w"][0], alone.params["w"], rtol=1e-5)
