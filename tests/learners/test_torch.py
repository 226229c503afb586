"""Outer gradients against PyTorch's, on the same small network and in double precision.

Needs PyTorch, which is no requirement: pip install torch==2.13.0.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.encoders.image import Conv4
from fsjax.encoders.multimodal import Multimodal, as_network
from fsjax.encoders.norms import EpisodeNorm
from fsjax.fusion.pooled import Plain
from fsjax.learners.gradient import constant
from fsjax.learners.last_layer import learned_layer
from fsjax.learners.maml import maml
from fsjax.objectives.episodic import query_loss
from fsjax.objectives.losses import cross_entropy
from fsjax.types import Episode, Inputs, Support

torch = pytest.importorskip("torch")
torch_maml = pytest.importorskip("experiments.benchmarks.torch_maml")

RNG = np.random.default_rng(0)
FEATURES, WAYS, STEPS = 3, 2, 2
X, QUERY = (RNG.normal(size=(n, 28, 28, 1)) for n in (4, 6))
Y, TARGET = np.arange(4) % WAYS, np.arange(6) % WAYS
PARAMS = {
    name: RNG.normal(size=p.shape) if "bias" in name else p.double().numpy()
    for name, p in torch_maml.init(features=FEATURES, ways=WAYS).items()
}


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def expected():
    task = (torch.tensor(X).movedim(-1, 1), torch.tensor(Y))
    task += (torch.tensor(QUERY).movedim(-1, 1), torch.tensor(TARGET))
    params = {name: torch.tensor(p) for name, p in PARAMS.items()}
    return {n: g.numpy() for n, g in torch_maml.task_gradient(params, task, steps=STEPS).items()}


def as_jax(arrays):
    """Kernels [O, I, 3, 3] -> [3, 3, I, O] and [O, I] -> [I, O]."""
    return {
        n: jnp.asarray(a.transpose(*range(2, a.ndim), 1, 0) if a.ndim > 1 else a)
        for n, a in arrays.items()
    }


def close(found, expected):
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)


def test_the_outer_gradient_is_that_of_torch(expected):
    network = as_network(Multimodal({"image": Conv4((FEATURES,) * 4, EpisodeNorm)}, Plain()))
    rates = constant(0.4, steps=STEPS)
    learner = maml(network, learned_layer(), cross_entropy, rates=rates)

    def inputs(x):
        return Inputs({"image": jnp.asarray(x)}, {"image": jnp.ones(len(x))})

    support = Support(inputs(X), jax.nn.one_hot(Y, WAYS), Inputs({}, {}))
    episode = Episode(support, inputs(QUERY), jax.nn.one_hot(TARGET, WAYS))
    given = as_jax(PARAMS)
    params = learner.init(jax.random.key(0), support)
    encoder = {
        f"ConvBlock_{i}": {
            "Conv3x3_0": {"kernel": given[f"kernel{i}"]},
            "EpisodeNorm_0": {"_Affine_0": {k: given[f"{k}{i}"] for k in ("scale", "bias")}},
        }
        for i in range(4)
    }
    ours = {"encoders_image": encoder}
    assert jax.tree.map(jnp.shape, ours) == jax.tree.map(jnp.shape, params["network"])
    params |= {"network": ours, "head": {k: given[k] for k in ("kernel", "bias")}}
    objective = jax.jit(query_loss(learner))
    found, _ = objective(params, episode, jax.random.key(0), jnp.zeros((), jnp.int32))
    theirs = as_jax(expected)
    for i in range(4):
        block = found["network"]["encoders_image"][f"ConvBlock_{i}"]
        close(block["Conv3x3_0"]["kernel"], theirs[f"kernel{i}"])
        for name, gradient in block["EpisodeNorm_0"]["_Affine_0"].items():
            close(gradient, theirs[f"{name}{i}"])
    for name, gradient in found["head"].items():
        close(gradient, theirs[name])
