"""The convolution is compared with JAX's own, and its correlation with a sum over taps."""

import re
from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads

from fsjax.encoders import convolution, unfolded, winograd
from fsjax.encoders.convolution import conv3x3, conv3x3_stride2, corr3x3
from fsjax.encoders.pooling import max_pool2x2
from tests.encoders import naive
from tests.encoders.naive import agree, cubes, normal, operands

# Shapes for each of the algorithms on CPU.
SHAPES = [
    {"inputs": 1, "outputs": 3},
    {"inputs": 4, "outputs": 5},
    {"inputs": 32, "outputs": 33, "images": 19, "size": (7, 7)},
]
EVERY = pytest.mark.parametrize("shape", SHAPES, ids=["few", "some", "many"])
AXES = [(0, 0), (0, None), (None, 0)]


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@jax.jit
def naive_stride2(x, w):
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, w, (2, 2), ((1, 1), (1, 1)), dimension_numbers=layout)


PAIRS = {"conv": (conv3x3, naive.conv), "corr": (corr3x3, naive.corr)}


def derived(op, order):
    """A scalar that holds every gradient of `op` of the given order."""
    if order == 0:
        return lambda *args: cubes(op(*args))
    gradients = jax.grad(derived(op, order - 1), (0, 1))
    return lambda *args: sum(map(cubes, gradients(*args)))


@pytest.mark.parametrize("name", PAIRS)
@EVERY
@pytest.mark.parametrize("order", [1, 3])  # the value at order 3 is made of second gradients
def test_value_and_gradients_of_any_order_agree_with_lax(name, order, shape):
    ours, theirs = (
        jax.jit(jax.value_and_grad(derived(op, order - 1), (0, 1))) for op in PAIRS[name]
    )
    args = operands(name, **shape)
    agree(ours(*args), theirs(*args))


@pytest.mark.parametrize("name", PAIRS)
def test_it_works_without_jit(name):
    ours, theirs = (jax.value_and_grad(derived(op, 0), (0, 1)) for op in PAIRS[name])
    args = operands(name)
    agree(PAIRS[name][0](*args), PAIRS[name][1](*args))
    agree(ours(*args), theirs(*args))


@pytest.mark.parametrize("name", PAIRS)
def test_gradients_agree_with_finite_differences(name):
    check_grads(jax.jit(PAIRS[name][0]), operands(name), order=2, modes=["rev"])


@pytest.mark.parametrize("size", [(4, 6), (5, 4), (7, 1)])
def test_stride_two_agrees_with_lax_to_the_second_gradient(size):
    args = operands("conv", size=size)
    agree(conv3x3_stride2(*args), naive_stride2(*args))
    ours, theirs = (
        jax.jit(jax.value_and_grad(derived(op, 1), (0, 1)))
        for op in (conv3x3_stride2, naive_stride2)
    )
    agree(ours(*args), theirs(*args))


def pick(args, axes, i):
    return tuple(a if axis is None else a[i] for a, axis in zip(args, axes, strict=True))


def stack(trees):
    return jax.tree.map(lambda *a: jnp.stack(a), *trees)


@pytest.mark.parametrize("name, transform", [("conv", jax.value_and_grad), ("corr", jax.jit)])
@pytest.mark.parametrize("outer", AXES)
@pytest.mark.parametrize("inner", AXES)
def test_nested_vmap_over_any_operands(name, transform, outer, inner):
    ours, theirs = PAIRS[name]
    lead = tuple((2,) * (o == 0) + (3,) * (i == 0) for o, i in zip(outer, inner, strict=True))
    args = operands(name, lead, inputs=1, outputs=2)
    wanted = {"argnums": (0, 1)} if transform is jax.value_and_grad else {}

    def mapped(*args):
        return cubes(jax.vmap(ours, inner)(*args))

    def looped(*args):
        return sum(cubes(theirs(*pick(args, inner, i))) for i in range(3))

    together = jax.jit(jax.vmap(transform(mapped, **wanted), outer))(*args)
    alone = jax.jit(transform(looped, **wanted))
    agree(together, stack([alone(*pick(args, outer, i)) for i in range(2)]))


@EVERY
def test_kernels_of_their_own_equal_a_loop_over_tasks(shape):
    xs, ws = operands("conv", ((2,), (2,)), **shape)

    def adapted(op, x, w):
        inner = jax.grad(lambda w: cubes(op(x, w)))
        return cubes(op(x, w - 0.1 * inner(w)))

    together = jax.jit(jax.vmap(jax.grad(partial(adapted, conv3x3), (0, 1))))(xs, ws)
    one = jax.jit(jax.grad(partial(adapted, naive.conv), (0, 1)))
    alone = [one(x, w) for x, w in zip(xs, ws, strict=True)]
    agree(together, stack(alone))


def test_inside_scan_and_remat_and_while():
    x, w = operands("conv", outputs=2)

    def deep(op, wrap, x, w):
        y, _ = lax.scan(lambda y, _: (wrap(lambda y: y + op(y, w) ** 2)(y), None), x, length=3)
        return cubes(y)

    @partial(jax.jit, static_argnums=(0, 1))
    def descend(op, wrap, x, w):
        def step(carry):
            return carry[0] + 1, carry[1] - 1e-3 * jax.grad(deep, 3)(op, wrap, x, carry[1])

        return lax.while_loop(lambda carry: carry[0] < 2, step, (0, w))

    expected = descend(naive.conv, jax.jit, x, w)
    for wrap in (jax.jit, jax.checkpoint):
        agree(descend(conv3x3, wrap, x, w), expected)


@pytest.mark.parametrize("inputs, outputs", [(2, 3), (1, 4)])
def test_what_other_platforms_run_agrees(inputs, outputs):
    for name, ours in {"conv": convolution._conv_native, "corr": convolution._corr_native}.items():
        args = operands(name, inputs=inputs, outputs=outputs)
        agree(jax.jit(ours)(*args), PAIRS[name][1](*args))


def test_each_shape_has_its_algorithm():
    found = []
    for shape in SHAPES:
        x, w = operands("conv", **shape)
        half = x.astype(jnp.bfloat16)
        found.append([convolution._on_cpu(x, w, "few", "some", "many") for x in (x, half)])
    assert found == [["few"] * 2, ["some"] * 2, ["many", "some"]]


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_other_platforms_run_tasks_in_one_product(platform):
    args = operands("conv", ((2,), (2,)))
    traced = jax.jit(jax.vmap(jax.grad(derived(conv3x3, 1), (0, 1)))).trace(*args)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert "dot_general" in text
    assert "while" not in text


@EVERY
def test_under_shard_map(monkeypatch, shape):
    for algorithm in (unfolded, winograd):
        monkeypatch.setattr(algorithm, "_CHUNK", 24)
    mesh = Mesh(jax.devices(), ("data",))
    x, w = operands("conv", ((4,), ()), **{"images": 3} | shape)

    def everywhere(op, x, w):  # tasks share w, so its gradient is a sum over the mesh
        return jax.grad(lambda w: cubes(jax.vmap(op, (0, None))(x, w)))(w)

    def each(op, x, w):  # tasks adapt w on their own: second order
        if op is conv3x3:
            w = lax.pcast(w, "data", to="varying")
        return jax.vmap(jax.grad(derived(op, 1), 1), (0, None))(x, w)

    for f, spec in ((everywhere, P()), (each, P("data"))):
        spread = jax.shard_map(
            partial(f, conv3x3), mesh=mesh, in_specs=(P("data"), P()), out_specs=spec
        )
        agree(jax.jit(spread)(x, w), jax.jit(partial(f, naive.conv))(x, w))


def test_under_shard_map_on_two_devices(on_devices):
    on_devices(2, f"{__file__}::test_under_shard_map[many]")


def loop_of_gradients(w, xs):
    def loss(w, x):
        for kernel in w:
            x = max_pool2x2(jax.nn.relu(conv3x3(x, kernel)))
        return jnp.sum(x**2)

    def update(w, x):
        return jax.tree.map(lambda a, b: a - 0.1 * b, w, jax.grad(loss)(w, x)), None

    return lax.scan(update, w, xs)[0]


@pytest.mark.parametrize("tasks", [None, 2])
def test_compiled_loop_holds_canonical_convolutions_only(tasks):
    w = [normal(0, 3, 3, c, 8, dtype=jnp.float32) for c in (3, 8)]
    xs = normal(1, 2, 6, 8, 8, 3, dtype=jnp.float32)
    run = loop_of_gradients
    if tasks:
        run = jax.vmap(run, (0, None))
        w = jax.tree.map(lambda a: jnp.stack([a] * tasks), w)
    text = jax.jit(run).lower(w, xs).compile().as_text()
    lines = [line for line in text.splitlines() if re.search(r"\bconvolution\(", line)]
    assert lines
    for line in lines:
        assert "dim_labels=b01f_01io->b01f" in line
        assert not re.search("(lhs|rhs)_(dilate|reversal)|group_count", line)


def sum_of_taps(x, dy):
    height, width = x.shape[1:3]
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    taps = [
        np.einsum("bhwi,bhwo->io", x[:, u : u + height, v : v + width], dy)
        for u, v in product(range(3), repeat=2)
    ]
    return np.reshape(taps, (3, 3, x.shape[-1], dy.shape[-1]))


@settings(max_examples=8, deadline=None)
@given(*(st.integers(1, 5) for _ in range(5)))
def test_any_shape(images, height, width, inputs, outputs):
    shapes = dict(images=images, size=(height, width), inputs=inputs, outputs=outputs)
    x, dy = operands("corr", **shapes)
    _, w = operands("conv", **shapes)
    expected = sum_of_taps(x, dy)
    y, corr = jax.jit(lambda x, dy, w: (conv3x3(x, w), corr3x3(x, dy)))(x, dy, w)
    agree(corr, expected)
    agree(np.vdot(y, dy), np.vdot(w, expected))  # one is the transpose of the other


@pytest.mark.parametrize("lead", [(), (2,)])
def test_bfloat16_is_kept_and_summed_in_float32(lead):
    ones = partial(jnp.ones, dtype=jnp.bfloat16)
    x, w = ones((*lead, 8, 16, 16, 1)), ones((*lead, 3, 3, 1, 1))
    mapped = jax.vmap if lead else lambda f: f
    y, pull = jax.vjp(jax.jit(mapped(conv3x3)), x, w)
    dx, dw = pull(x)
    assert y.dtype == dx.dtype == dw.dtype == jnp.bfloat16
    agree(dw[..., 1, 1, 0, 0].astype(float), 8 * 16 * 16.0)  # a sum in bfloat16 stops at 256
    agree(y[..., 1, 1, 1, 0].astype(float), 9.0)


@pytest.mark.parametrize(
    "op, first, second",
    [
        (conv3x3, (4, 4, 2), (3, 3, 2, 1)),
        (conv3x3, (1, 4, 4, 2), (3, 3, 3, 1)),
        (conv3x3, (1, 4, 4, 2), (5, 5, 2, 1)),
        (conv3x3, (1, 4, 4, 2), (3, 3, 2)),
        (corr3x3, (1, 4, 4, 2), (1, 4, 5, 2)),
        (corr3x3, (4, 4, 2), (4, 4, 2)),
        (corr3x3, (1, 4, 4, 2), (2, 4, 4, 2)),
    ],
)
def test_shapes_that_do_not_fit_are_named(op, first, second):
    named = ".*".join(re.escape(",".join(map(str, shape))) for shape in (first, second))
    with pytest.raises(ValueError, match=named):
        op(jnp.zeros(first), jnp.zeros(second))


def test_dtypes_that_differ_are_named():
    x, w = operands("conv")
    with pytest.raises(ValueError, match=r"float64.*float32"):
        conv3x3(x, w.astype(jnp.float32))
    with pytest.raises(ValueError, match=r"bfloat16.*float64"):
        corr3x3(x.astype(jnp.bfloat16), x)
