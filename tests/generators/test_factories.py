"""What every generator promises, and what samples of trained ones are like."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import build
from experiments.configs.emoji import get_config
from fsjax.generators import autoencoder, critic, generator
from fsjax.generators.features import FeatureCritic, FeatureEncoder, FeatureGenerator
from fsjax.objectives.adversarial import adversarial, in_turns
from fsjax.objectives.variational import variational
from fsjax.training.state import init_state, train_chunk
from fsjax.types import Condition, Examples

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
SIDES = pytest.mark.parametrize("side", [0, 2])


def examples_of(side: int) -> Examples:
    numbers = jnp.array(RNG.normal(size=(5, 6 + side)), jnp.float32)
    return Examples(numbers[:, :3], Condition(numbers[:, 3:6], numbers[:, 6:]), jnp.ones(5))


# Those of pictures have tests of their own.
@pytest.fixture(scope="module", params=["wgan", "vae"])
def made(request):
    config = get_config()
    config.generation.generator = request.param
    return build.generator(config)


@SIDES
def test_a_generator_starts_from_the_prototypes_and_gives_a_row_for_each(made, side):
    examples = examples_of(side)
    params = jax.jit(made.init)(KEY, examples)
    rows = made.generate(params, examples.condition, KEY)
    np.testing.assert_array_equal(rows, examples.condition.prototype)


def shaken(params):
    return jax.tree.map(
        lambda p: p + 0.1 * jnp.sin(1 + jnp.arange(p.size)).reshape(p.shape), params
    )


def test_rows_depend_on_noise_prototype_and_side_with_and_without_jit(made):
    examples = examples_of(2)
    params = shaken(made.init(KEY, examples))
    prototype, side = examples.condition
    rows = made.generate(params, examples.condition, KEY)
    others = (
        made.generate(params, examples.condition, jax.random.key(1)),
        made.generate(params, Condition(prototype, side + 1), KEY),
        made.generate(params, Condition(prototype + 1, side), KEY) - 1,
    )
    assert all(np.abs(rows - other).max(1).min() > 1e-3 for other in others)
    again = jax.jit(made.generate)(params, examples.condition, KEY)
    np.testing.assert_allclose(again, rows, rtol=1e-5, atol=1e-6)


def test_no_row_of_no_class():
    none = jax.tree.map(lambda x: x[:0], examples_of(2).condition)
    made = generator(FeatureGenerator())
    assert made.generate(made.init(KEY, examples_of(2)), none, KEY).shape == (0, 3)


@SIDES
def test_a_critic_sees_rows_and_conditions_each_by_itself(side):
    examples, judge = examples_of(side), critic(FeatureCritic((8,)))
    params = judge.init(KEY, examples)
    scores = judge.score(params, examples.rows, examples.condition)
    assert scores.shape == (5,)
    changed = judge.score(params, examples.rows.at[0].add(1.0), examples.condition)
    np.testing.assert_array_equal(np.flatnonzero(changed != scores), [0])
    prototype = examples.condition.prototype.at[1].add(1.0)
    condition = examples.condition._replace(prototype=prototype)
    changed = judge.score(params, examples.rows, condition)
    np.testing.assert_array_equal(np.flatnonzero(changed != scores), [1])


def test_codes_of_another_length_than_said_are_refused():
    made = autoencoder(FeatureEncoder(codes=3), FeatureGenerator(), codes=4)
    with pytest.raises(ValueError, match="codes=4, but the encoder gives 6"):
        made.init(KEY, examples_of(0))


def test_codes_of_large_rows_have_finite_variances_and_gradients():
    made, large = autoencoder(FeatureEncoder(), FeatureGenerator()), examples_of(0)
    large = large._replace(rows=1e3 * large.rows)
    params = {"generator": made.init(KEY, large)}
    objective = variational(made, lambda params, episode, key: large)
    gradients, metrics = objective(params, None, KEY, jnp.zeros((), jnp.int32))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((gradients, metrics)))
    log_variance = made.encode(params["generator"], *large[:2])[1]
    assert np.ptp(log_variance) > 15 and np.abs(log_variance).max() <= 10


# A mixture of four Gaussians in the plane. A condition is one of the means, and nothing else says
# how rows lie about it: far along one direction and close along the other.
MEANS = jnp.array([[2.0, 0.0], [0.0, 2.0], [-2.0, 0.0], [0.0, -2.0]])
ALONG = jnp.array([[0.8, 0.3], [0.0, 0.3]])  # rows: what a unit of each noise adds
COVARIANCE = np.asarray(ALONG @ ALONG.T)
ROWS = 128


def drawn(params, episode, key) -> Examples:
    return episode


@jax.tree_util.Partial
def mixture(key) -> Examples:
    key_class, key_noise = jax.random.split(key)
    means = MEANS[jax.random.randint(key_class, (ROWS,), 0, 4)]
    rows = means + jax.random.normal(key_noise, (ROWS, 2)) @ ALONG.T
    return Examples(rows, Condition(means, jnp.zeros((ROWS, 0))), jnp.ones(ROWS))


def trained(params, objective, optimizer, steps):
    state = init_state(KEY, params, optimizer)
    options = {"sample": mixture, "objective": objective, "optimizer": optimizer}
    return train_chunk(state, **options, num_steps=steps)[0].params["generator"]


def by_wgan():
    made, judge = generator(FeatureGenerator((32,)), noise=2), critic(FeatureCritic((32, 32)))
    adam = partial(optax.adam, b1=0.0, b2=0.9)
    rates = (optax.cosine_decay_schedule(3e-3, steps) for steps in (3000 // 5, 3000))
    optimizer = in_turns(*map(adam, rates), optax.sgd(0.0), critic_steps=5)
    params = {"generator": made.init(KEY, mixture(KEY)), "critic": judge.init(KEY, mixture(KEY))}
    objective = adversarial(made, judge, drawn, penalty=0.1)
    return made, trained(params, objective, optimizer, 3000)


def by_vae():
    # Rows of a tenth of the noise that the bound assumes: squared errors in units of it.
    made = autoencoder(FeatureEncoder(2, (32,)), FeatureGenerator((32,)), codes=2)
    params = {"generator": made.init(KEY, mixture(KEY))}
    objective = variational(made, drawn, beta=0.01)
    return made, trained(params, objective, optax.adam(3e-3), 1500)


@pytest.mark.parametrize("train", [by_wgan, by_vae])
def test_samples_of_a_mixture_have_its_means_and_covariances(train):
    made, params = train()
    for mean in MEANS:
        condition = Condition(jnp.tile(mean, (4000, 1)), jnp.zeros((4000, 0)))
        rows = np.asarray(made.generate(params, condition, jax.random.key(7)))
        np.testing.assert_allclose(rows.mean(0), mean, atol=0.2)
        np.testing.assert_allclose(np.cov(rows.T), COVARIANCE, atol=0.2)
