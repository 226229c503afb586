"""Rows of one task over devices: features, statistics and gradients are those of one device."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from fsjax.encoders.multimodal import multimodal
from fsjax.encoders.norms import ROWS, CalibratedNorm, EpisodeNorm, SupportNorm
from fsjax.encoders.spread import spread
from fsjax.encoders.tabular import Standardised
from fsjax.fusion.pooled import Concat
from fsjax.heads import prototype
from fsjax.learners import metric
from fsjax.learners.embedding import embed_together
from fsjax.objectives.answers import answer_loss, fitted
from fsjax.objectives.episodic import over_rows
from fsjax.types import Episode, Inputs, Support, Tokens

RNG = np.random.default_rng(0)
KEY, STEP = jax.random.key(0), jnp.zeros((), jnp.int32)
LABELS = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2, 0]]


class Normed(nn.Module):
    """A layer and a norm after it."""

    norm: type[nn.Module]

    @nn.compact
    def __call__(self, x, weight, *, train=False):
        y = nn.relu(self.norm()(nn.Dense(4)(x), weight, train=train))
        return Tokens(y[:, None], jnp.ones((len(y), 1)))


def rows(count):
    values = {m: RNG.normal(size=(count, 3)).astype(np.float32) for m in "ab"}
    present = {m: np.ones(count, np.float32) for m in "ab"}
    present["b"][1] = 0
    return Inputs(values, present)


def network(norm):
    return multimodal({"a": Normed(norm), "b": Standardised(Normed(norm))}, Concat())


def on_each(call, devices):
    """What a function gives on each of some devices, which here are a mapped axis."""
    return jax.vmap(lambda _: call(), axis_name=ROWS)(jnp.arange(devices))


@pytest.mark.parametrize("norm", [CalibratedNorm, EpisodeNorm, SupportNorm])
@pytest.mark.parametrize("devices", [2, 3])
def test_features_and_statistics_of_all_rows_are_on_all_devices(norm, devices):
    net, inputs, weight = network(norm), rows(7), np.float32([1, 1, 0, 2, 1, 1, 0.5])
    params = net.init(KEY, inputs)
    for options in ({"weight": weight}, {}):
        z, stats = jax.jit(lambda o=options: net.apply(params, inputs, train=True, **o))()
        found = jax.jit(
            lambda o=options: on_each(
                lambda: spread(net).apply(params, inputs, train=True, **o), devices
            )
        )()
        for i in range(devices):
            ours = jax.tree.map(lambda x, i=i: x[i], found)
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
                ours,
                (z, stats),
            )


def test_dropout_differs_from_device_to_device():
    class Seen:
        """Features that tell the key."""

        @staticmethod
        def apply(params, inputs, *, weight, key):
            return jax.random.uniform(key, (len(weight), 1)), {}

    net = network(CalibratedNorm)._replace(apply=Seen.apply)
    z, _ = on_each(lambda: spread(net).apply({}, rows(4), key=KEY), 2)
    assert not np.isclose(z[0, :2], z[0, 2:]).any()


def test_the_gradient_is_that_of_one_device():
    """On the devices that there are; on two by the test below."""
    net, head = network(CalibratedNorm), prototype()
    support, query = rows(7), rows(5)
    targets = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1]]
    episode = Episode(Support(support, LABELS, Inputs({}, {})), query, targets)
    params = metric(net, head).init(KEY, episode.support)

    def gradients(objective):
        return jax.jit(objective)(params, episode, KEY, STEP)

    def objective(net):
        return answer_loss(fitted(embed_together(net), head))

    one = gradients(objective(net))
    ours = gradients(over_rows(objective(spread(net)), Mesh(jax.devices(), (ROWS,))))
    assert max(np.abs(x).max() for x in jax.tree.leaves(one[0]["network"])) > 1e-3
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), ours, one)


def test_all_of_it_on_two_devices(on_devices):
    on_devices(2, "-k", "gradient", __file__)
