"""Both ways to embed an episode, against the network itself on the rows of each."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.encoders.layers import one_token
from fsjax.encoders.multimodal import multimodal
from fsjax.encoders.norms import CalibratedNorm, GroupNorm, SupportNorm
from fsjax.fusion.pooled import Plain
from fsjax.learners.embedding import embed_in_turn, embed_together
from fsjax.types import Episode, Inputs, Support

RNG, KEY = np.random.default_rng(0), jax.random.key(0)
SUPPORTS, QUERIES, PADDING = 4, 6, 2  # the last support rows are padding


def rows(number: int, offset: float) -> Inputs:
    x = jnp.array(RNG.normal(offset, size=(number, 5)), jnp.float32)
    return Inputs({"x": x}, {"x": jnp.ones(number)})


LABELS = jnp.eye(2)[jnp.array([0, 1, 0, 1])].at[-PADDING:].set(0.0)
TARGETS = jnp.eye(2)[jnp.arange(QUERIES) % 2]
EPISODE = Episode(Support(rows(SUPPORTS, 0.0), LABELS, Inputs({}, {})), rows(QUERIES, 3.0), TARGETS)
ALL = jax.tree.map(lambda *x: jnp.concatenate(x), EPISODE.support.inputs, EPISODE.query)
WEIGHT = jnp.concatenate([LABELS, TARGETS]).sum(-1)


class Normed(nn.Module):
    """A linear map and a norm."""

    norm: type[nn.Module]

    @nn.compact
    def __call__(self, x, weight, *, train=False):
        return one_token(self.norm()(nn.Dense(16)(x), weight, train=train))


def made(norm):
    network = multimodal({"x": Normed(norm)}, Plain())
    return network, {"network": network.init(KEY, EPISODE.query)}


def masked(z):
    return np.where(WEIGHT[:, None] > 0, z, 0.0)


@pytest.mark.parametrize("norm", [CalibratedNorm, GroupNorm])
@pytest.mark.parametrize("train", [True, False])
def test_together_is_one_pass_over_all_rows_padding_zero(norm, train):
    network, params = made(norm)
    z, labels = jax.jit(embed_together(network, train=train))(params, EPISODE, KEY)
    expected, _ = network.apply(params["network"], ALL, weight=WEIGHT, train=train)
    np.testing.assert_allclose(z, masked(expected), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(labels, np.concatenate([LABELS, TARGETS]))
    assert np.abs(z).max() > 0.1


def test_in_turn_queries_are_seen_by_the_statistics_of_the_support():
    network, params = made(SupportNorm)
    z, labels = jax.jit(embed_in_turn(network))(params, EPISODE, KEY)
    options = {"weight": LABELS.sum(-1), "train": True}
    support, stats = network.apply(params["network"], EPISODE.support.inputs, **options)
    query, _ = network.apply(params["network"], EPISODE.query, stats=stats, train=True)
    expected = masked(np.concatenate([support, query]))
    np.testing.assert_allclose(z, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(labels, np.concatenate([LABELS, TARGETS]))
    alone, _ = network.apply(params["network"], EPISODE.query, train=True)
    assert np.abs(query - alone).max() > 0.1


def test_where_rows_share_nothing_both_are_the_same():
    network, params = made(GroupNorm)
    one, other = (f(network)(params, EPISODE, KEY) for f in (embed_in_turn, embed_together))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), one, other)
