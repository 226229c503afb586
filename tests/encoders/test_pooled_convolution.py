"""Convolution and pooling at once are compared with one after the other."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads

from fsjax.encoders import pooled_convolution
from fsjax.encoders.layers import ConvBlock
from fsjax.encoders.norms import CalibratedNorm, EpisodeNorm, GroupNorm, SupportNorm
from fsjax.encoders.pooled_convolution import conv_pool3x3, convolved
from fsjax.encoders.pooling import max_pool2x2, no_pool
from tests.encoders import naive
from tests.encoders.naive import agree, cubes, normal, operands

AXES = [(0, 0), (0, None), (None, 0)]


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def apart(x, w):
    return max_pool2x2(naive.conv(x, w))


def gradients(op, *args):
    return jax.grad(lambda *args: cubes(op(*args)), (0, 1))(*args)


def of_gradients(op, *args):
    """A scalar of the first gradients, whose own are of the second order."""
    return sum(map(cubes, gradients(op, *args)))


@settings(max_examples=12, deadline=None)
@given(*(st.integers(low, 6) for low in (1, 2, 2, 1, 1)), st.sampled_from([1, 8, 800]))
def test_any_shape_agrees_with_lax(images, height, width, inputs, outputs, chunk):
    args = operands("conv", ((), ()), images, (height, width), inputs, outputs)
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(pooled_convolution, "_CHUNK", chunk)
        for op in (lambda op: op, partial(partial, gradients)):
            agree(*(jax.jit(op(each))(*args) for each in (conv_pool3x3, apart)))


@pytest.mark.parametrize("compiled", [jax.jit, lambda f: f])
def test_gradients_of_two_orders_agree_with_lax(compiled):
    args = operands("conv", size=(4, 5), inputs=1)
    second = [jax.value_and_grad(partial(of_gradients, op), (0, 1)) for op in (conv_pool3x3, apart)]
    agree(*(compiled(each)(*args) for each in second))


def test_gradients_agree_with_finite_differences():
    check_grads(jax.jit(conv_pool3x3), operands("conv", inputs=1), order=2, modes=["rev"])


@pytest.mark.parametrize("axes", AXES)
def test_tasks_equal_a_loop_over_them(axes):
    lead = tuple((2,) if axis == 0 else () for axis in axes)
    args = operands("conv", lead, inputs=1)
    for op in (lambda op: op, partial(partial, gradients), partial(partial, of_gradients)):
        ours, theirs = (jax.jit(jax.vmap(op(each), axes))(*args) for each in (conv_pool3x3, apart))
        agree(ours, theirs)


def test_equal_maxima_of_equal_pixels_teach_the_kernel_alike():
    x = jnp.kron(normal(0, 2, 2, 2, 1), jnp.ones((1, 6, 6, 1)))
    w = normal(1, 3, 3, 1, 4)
    y = naive.conv(x, w)
    assert ((y[:, ::2, ::2] == apart(x, w)) & (y[:, 1::2, 1::2] == apart(x, w))).mean() > 0.1
    agree(*(gradients(op, x, w)[1] for op in (conv_pool3x3, apart)))


def test_under_shard_map_and_without_images():
    x, w = operands("conv", inputs=1)
    mesh = Mesh(jax.devices()[:1], ("rows",))

    def each(x, w):
        return jax.grad(partial(of_gradients, conv_pool3x3), 1)(x, w)

    spread = jax.jit(jax.shard_map(each, mesh=mesh, in_specs=(P("rows"), P()), out_specs=P()))
    agree(spread(x, w), jax.grad(partial(of_gradients, apart), 1)(x, w))
    assert conv_pool3x3(x[:0], w).shape == (0, 1, 2, 3)
    assert not np.any(gradients(conv_pool3x3, x[:0], w)[1])


@pytest.mark.parametrize("norm", [GroupNorm, EpisodeNorm, SupportNorm, CalibratedNorm])
@pytest.mark.parametrize("train", [True, False])
def test_a_block_is_that_of_maps_that_were_computed(monkeypatch, norm, train):
    x, direction = normal(0, 3, 6, 7, 1), normal(1, 3, 3, 3, 8)
    weight, block = jnp.array([1.0, 0.0, 0.5]), ConvBlock(8, norm)
    params = block.init(jax.random.key(0), x, weight, train=True)["params"]
    params = jax.tree.map(lambda p: p + 0.5 * jnp.sin(jnp.arange(p.size)).reshape(p.shape), params)

    def loss(params, x):
        y, stats = block.apply({"params": params}, x, weight, train=train, mutable=["stats"])
        return jnp.vdot(y, direction), stats

    def found():
        return jax.value_and_grad(loss, (0, 1), has_aux=True)(params, x)

    ours = found()
    monkeypatch.setattr(pooled_convolution, "_pays", lambda x, pool: False)
    agree(ours, found())


def test_it_is_for_images_of_one_channel_in_single_precision_that_are_pooled():
    def is_computed(x, pool=max_pool2x2):
        maps = convolved(x, normal(0, 3, 3, x.shape[-1], 2, dtype=x.dtype), pool)
        return isinstance(maps.moments, partial)

    x = normal(0, 2, 4, 4, 1)
    assert not is_computed(x)
    assert is_computed(x, no_pool) and is_computed(jnp.tile(x, 3))
    assert is_computed(x.astype(jnp.bfloat16))
    with pytest.raises(ValueError, match="too small to be pooled"):
        convolved(x[:, :1], normal(0, 3, 3, 1, 2), max_pool2x2).pooled(jnp.ones(2))
