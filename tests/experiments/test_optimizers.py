"""From a config to an optimiser: how each kind of parameter moves."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import build
from experiments.build.optimizers import matrices
from experiments.configs import emoji

SHAPES = {
    "network": {
        "first": {"kernel": (3, 3, 1, 8)},
        "second": {"kernel": (3, 3, 8, 16), "scale": (16,)},
        "dense": {"kernel": (24, 12), "bias": (12,)},
        "attention": {"kernel": (12, 2, 6)},
        "words": {"table": (20, 12)},
    },
    "head": {"kernel": (12, 5)},
    "rates": {"network": {"dense": {"kernel": (4, 3)}}},
}
SHAPES_OF = {
    f"['network']['{layer}']['kernel']": SHAPES["network"][layer]["kernel"]
    for layer in ("second", "dense")
}
MATRICES = SHAPES_OF.keys()
APART = {"generator": {"kernel": (6, 6)}, "critic": {"kernel": (6, 6)}}


def drawn(seed, shapes):
    """Normal values of the shapes in a tree, those of a name the same in any tree."""

    def draw(path, shape):
        rng = np.random.default_rng([seed, *jax.tree_util.keystr(path).encode()])
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    leaf = {"is_leaf": lambda x: isinstance(x, tuple)}
    return jax.tree_util.tree_map_with_path(draw, shapes, **leaf)


def config_of(name, **settings):
    config = emoji.get_config()
    config.update(settings)
    config.train.update(optimizer=name, learning_rate=0.01, steps=10)
    return config


def updates(optimizer, shapes=SHAPES):
    """Name -> first update."""
    params = drawn(0, shapes)
    found = jax.jit(optimizer.update)(drawn(1, shapes), optimizer.init(params), params)[0]
    return {jax.tree_util.keystr(path): x for path, x in jax.tree_util.tree_leaves_with_path(found)}


@pytest.fixture(scope="module")
def moved():
    return updates(build.optimizer(config_of("muon")))


def test_muon_is_told_the_kernels_of_the_network():
    found = matrices(jax.tree.map(np.zeros, SHAPES, is_leaf=lambda x: isinstance(x, tuple)))
    told = jax.tree_util.tree_leaves_with_path(found, is_leaf=lambda x: hasattr(x, "output_axis"))
    axes = {jax.tree_util.keystr(path): tuple(of) for path, of in told}
    assert axes == {
        "['network']['dense']['kernel']": ((0,), 1),
        "['network']['second']['kernel']": ((0, 1, 2), 3),
    }


def test_muon_moves_matrices_alike_in_all_directions(moved):
    for name in MATRICES:
        matrix = moved[name].reshape(-1, SHAPES_OF[name][-1])
        directions = np.linalg.svd(matrix, compute_uv=False)
        # A semi-orthogonal matrix of n rows, more than columns, has entries of size 1 / sqrt(n);
        # five iterations of Newton and Schulz leave its singular values between 0.6 and 1.3.
        directions /= 0.01 * 0.2 * len(matrix) ** 0.5
        assert directions.min() > 0.6
        assert directions.max() < 1.3


def test_muon_moves_all_else_as_adam_of_nesterov_momentum_does(moved):
    adam = updates(optax.nadam(0.01))
    for name in adam.keys() - MATRICES:
        np.testing.assert_allclose(moved[name], adam[name], rtol=1e-5)


def test_generator_and_critic_stay_with_adam(moved):
    together = updates(build.optimizer(config_of("muon", learner="hallucinate")), SHAPES | APART)
    for name in MATRICES:
        np.testing.assert_allclose(together[name], moved[name], rtol=1e-3, atol=1e-6)
    gradient = drawn(1, SHAPES | APART)["critic"]
    adam = optax.adam(emoji.get_config().generation.critic_rate, b1=0.0, b2=0.9)
    expected = adam.update(gradient, adam.init(gradient))[0]["kernel"]
    np.testing.assert_allclose(together["['critic']['kernel']"], expected, rtol=1e-5)


def test_optimizers_are_compared_each_with_all_else_alike():
    config = emoji.get_config()
    config.compare = "muon,image+muon"
    models = build.models(config)
    assert list(models) == ["attention", "muon", "image+muon"]
    assert [model.train.optimizer for model in models.values()] == ["adam", "muon", "muon"]
    assert models["muon"].fusion == "attention"


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match=r"config\.train\.optimizer='moun' .* mean 'muon'"):
        build.optimizer(config_of("moun"))
