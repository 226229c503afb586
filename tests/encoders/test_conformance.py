"""What every encoder promises, over all that can be named in a config."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from experiments import build
from fsjax.encoders.audio import ConvAudio
from fsjax.encoders.image import Conv4, Halved, ResNet12, StridedConv4
from fsjax.encoders.layers import spatial_tokens
from fsjax.encoders.norms import CalibratedNorm, GroupNorm
from fsjax.encoders.series import ConvSeries
from fsjax.encoders.spread import each_block
from fsjax.encoders.tabular import MLP, BesideOne, Mirrored, Raw, Standardised, UnitLength
from fsjax.encoders.text import ByteTransformer, CharNgrams

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
ROWS = 3


def floats(*shape):
    return RNG.normal(size=(ROWS, *shape)).astype(np.float32)


TEXT = np.array([[5, 9, 5, 9, 2, 0, 0], [7, 0, 0, 0, 0, 0, 0], [3, 1, 4, 1, 5, 9, 2]], np.int32)
PIXELS = RNG.integers(0, 256, size=(ROWS, 32, 32, 3)).astype(np.uint8)

# Name in the config -> tiny module, rows to encode, tokens [L, D].
TINY = {
    "conv4": (lambda norm: Conv4((2, 4, 2, 4), norm), floats(17, 16, 1), (1, 4)),
    "conv4_widening": (lambda norm: Conv4((2, 2, 4, 6), norm), floats(16, 16, 1), (1, 6)),
    "conv4_wide": (lambda norm: Conv4((2, 4, 4, 6), norm), floats(16, 16, 1), (1, 6)),
    "conv4_strided": (lambda norm: StridedConv4((2, 4), norm), floats(9, 8, 1), (1, 3 * 2 * 4)),
    "conv4_halved": (lambda norm: Halved(Conv4((2, 4), norm)), floats(9, 8, 1), (1, 4)),
    "conv4_maps": (lambda norm: Conv4((4,) * 4, norm, pooled=2), floats(9, 8, 1), (1, 2 * 2 * 4)),
    "resnet12": (lambda norm: ResNet12((2, 2, 2, 4), norm), floats(16, 32, 3), (2, 4)),
    "conv_audio": (lambda norm: ConvAudio((2, 4), norm), floats(9, 8), (1, 2 * 2 * 4)),
    "conv_series": (lambda norm: ConvSeries((2, 4), 3, norm), floats(9, 2), (1, 2 * 4)),
    "conv_series_short": (lambda norm: ConvSeries((2, 4), 3, norm), floats(4, 2), (1, 4)),
    "bytes": (lambda norm: ByteTransformer(4, 1, 2), TEXT, (7, 4)),
    "ngrams": (lambda norm: CharNgrams(4, (1, 2, 3), 16), TEXT, (1, 12)),
    "ngrams_dropout": (lambda norm: CharNgrams(4, (1, 2, 3), 16, 0.5), TEXT, (1, 12)),
    "mlp": (lambda norm: MLP((5,), 4), floats(6), (1, 4)),
    "linear": (lambda norm: MLP((), 4), floats(6), (1, 4)),
    "linear_unit": (lambda norm: UnitLength(MLP((), 4)), floats(6), (1, 4)),
    "beside_one": (lambda norm: BesideOne(Raw()), floats(6), (1, 7)),
    "mlp_standardised": (lambda norm: Standardised(MLP((5,), 4)), floats(6), (1, 4)),
    "raw": (lambda norm: Raw(), floats(2, 3), (1, 6)),
    "raw_standardised": (
        lambda norm: Standardised(BesideOne(Mirrored(Raw()))),
        floats(6),
        (1, 2 * 7),
    ),
}
NORMS = {"calibrated": CalibratedNorm, "group": partial(GroupNorm, groups=2)}


def normed(name: str) -> bool:
    return hasattr(TINY[name][0](CalibratedNorm), "norm")


CASES = [(name, norm) for name in TINY for norm in (NORMS if normed(name) else ["group"])]


def others_replaced(x):
    return jnp.asarray(x).at[1:].set(jnp.asarray(x)[1:][::-1] // 2 + 1)


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request):
    """One module, and all that is asked of it in one program."""
    make, x, shape = TINY[request.param[0]]
    module = make(NORMS[request.param[1]])

    def encode(params, x):
        return module.apply(params, x, jnp.ones(ROWS))

    def loss(params, x):
        tokens, _ = module.apply(params, x, jnp.ones(ROWS), train=True, mutable=["stats"])
        return jnp.square(tokens.values - 1.0).sum()

    wrt = (0, 1) if x.dtype == np.float32 else 0

    @jax.jit
    def everything(x):
        params = {"params": module.init(KEY, x, jnp.ones(ROWS)).get("params", {})}
        # A loop, whose body is compiled once.
        variants = jnp.stack([x, others_replaced(x), jnp.zeros_like(x)])
        tokens = jax.lax.map(lambda x: encode(params, x), variants)
        gradients = jax.lax.map(lambda x: jax.grad(loss, wrt)(params, x), variants)
        return params, *(jax.tree.map(lambda t, i=i: t[i], tokens) for i in (0, 1)), gradients

    return encode, x, shape, everything(x)


def test_every_encoder_of_the_config_is_covered():
    assert set(TINY) == {*build.ENCODERS, "beside_one"}  # the last is `experiments.features`'
    for name, make in build.ENCODERS.items():
        assert type(make(CalibratedNorm)) is type(TINY[name][0](CalibratedNorm))


def test_tokens_are_finite_and_have_the_shape_promised(case):
    _, _, shape, (_, tokens, _, _) = case
    assert tokens.values.shape == (ROWS, *shape) and tokens.mask.shape == (ROWS, shape[0])
    assert np.isfinite(tokens.values).all() and np.isin(tokens.mask, (0, 1)).all()


def test_tokens_are_the_same_without_jit(case):
    encode, x, _, (params, tokens, _, _) = case
    found = encode(params, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-5), found, tokens)


def test_tokens_of_a_row_do_not_depend_on_other_rows_at_test(case):
    *_, (_, tokens, others, _) = case
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[0], b[0], 1e-5, 1e-6), tokens, others)
    assert np.abs(tokens.values[1:] - others.values[1:]).max() > 1e-3


def test_blocks_of_rows_can_be_divided_over_devices(case):
    # Types of a shard_map are checked as it is traced, whatever the number of devices.
    encode, x, _, (params, tokens, _, _) = case
    mesh = Mesh(jax.devices()[:1], ("tasks",))
    found = jax.eval_shape(
        lambda params, x: each_block(lambda i, p, x: encode(p, x[i]), 2, mesh, params, x),
        params,
        np.stack([x, x]),
    )
    assert jax.tree.map(lambda t: t.shape[1:], found) == jax.tree.map(jnp.shape, tokens)


def test_gradients_are_finite_also_of_rows_of_zeros(case):
    gradients = jax.tree.leaves(case[3][3])
    assert all(np.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize(
    ("name", "x", "shape"),
    [
        ("conv4", np.zeros((2, 28, 28, 1)), (1, 64)),
        ("conv4", np.zeros((2, 84, 84, 3)), (1, 25 * 64)),
        ("conv4_widening", np.zeros((2, 28, 28, 1)), (1, 256)),
        ("conv4_strided", np.zeros((2, 28, 28, 1)), (1, 2 * 2 * 64)),
        ("conv4_halved", np.zeros((2, 56, 56, 1)), (1, 64)),
        ("conv4_maps", np.zeros((2, 28, 28, 1)), (1, 7 * 7 * 64)),
        ("resnet12", np.zeros((2, 32, 32, 3)), (4, 640)),
        ("conv_audio", np.zeros((2, 64, 40)), (1, 4 * 2 * 64)),
        ("bytes", np.zeros((2, 30), np.int32), (30, 64)),
        ("ngrams", np.zeros((2, 30), np.int32), (1, 256)),
        ("mlp", np.zeros((2, 9)), (1, 64)),
        ("raw", np.zeros((2, 28, 28, 1)), (1, 784)),
    ],
)
@pytest.mark.parametrize("norm", ["group", "calibrated"])
def test_the_encoders_of_a_config_have_the_shapes_of_the_papers(name, x, shape, norm):
    module = build.ENCODERS[name](build.NORMS[norm])
    tokens, _ = jax.eval_shape(lambda x: module.init_with_output(KEY, x, jnp.ones(2)), x)
    assert tokens.values.shape == (2, *shape) and tokens.mask.shape == (2, shape[0])


def test_pixels_are_scaled_to_plus_minus_one_and_floats_are_taken_as_they_are():
    module = Conv4((2,) * 4, tokens=spatial_tokens)
    params = module.init(KEY, PIXELS, jnp.ones(ROWS))
    encode = jax.jit(lambda x: module.apply(params, x, jnp.ones(ROWS)).values)
    np.testing.assert_allclose(encode(PIXELS), encode(PIXELS / 127.5 - 1.0), rtol=1e-4, atol=1e-5)
    assert encode(PIXELS).shape == (ROWS, 4, 2)


def text_module(name) -> nn.Module:
    return TINY[name][0](None)


@pytest.mark.parametrize("name", ["bytes", "ngrams"])
def test_padding_beyond_the_text_changes_nothing(name):
    module = text_module(name)
    longer = np.pad(TEXT, ((0, 0), (0, 4)))
    params = module.init(KEY, longer, jnp.ones(ROWS))["params"]
    shorter_params = {k: v[:7] if k == "position" else v for k, v in params.items()}
    a = module.apply({"params": params}, longer, jnp.ones(ROWS))
    b = module.apply({"params": shorter_params}, TEXT, jnp.ones(ROWS))
    length = b.mask.shape[1]
    assert not a.mask[:, length:].any()
    np.testing.assert_array_equal(a.mask[:, :length], b.mask)
    ours, expected = a.values[:, :length] * b.mask[..., None], b.values * b.mask[..., None]
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_the_tokens_of_a_byte_transformer_see_each_other_and_no_padding():
    module = text_module("bytes")
    params = module.init(KEY, TEXT, jnp.ones(ROWS))
    assert module.apply(params, TEXT, jnp.ones(ROWS)).mask.sum(1).tolist() == [5, 1, 7]
    changed = TEXT.copy()
    changed[0, 4] = 3
    a, b = (module.apply(params, x, jnp.ones(ROWS)).values for x in (TEXT, changed))
    assert np.abs(a[0, 0] - b[0, 0]).max() > 1e-5


@pytest.mark.parametrize("name", ["bytes", "ngrams"])
def test_a_text_of_padding_alone_is_finite_and_so_are_its_gradients(name):
    module, x = text_module(name), np.zeros_like(TEXT)
    params = module.init(KEY, x, jnp.ones(ROWS))

    def loss(params):
        tokens = module.apply(params, x, jnp.ones(ROWS))
        return jnp.square(tokens.values).sum(), tokens

    gradients, tokens = jax.jit(jax.grad(loss, has_aux=True))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((gradients, tokens)))
    if name == "bytes":
        assert not tokens.mask.any()
    else:
        assert not tokens.values.any()


def naive_bag(text, order: int, table) -> np.ndarray:
    """One n-gram after another, in Python's integers."""
    found = []
    for i in range(len(text) - order + 1):
        gram = [int(c) for c in text[i : i + order]]
        if all(gram):
            hashed = 0
            for c in gram:
                hashed = (hashed + c + 1) * 2654435761 % 2**32
            found.append(table[(hashed >> 7) % len(table)])
    return np.sum(found, axis=0) / np.sqrt(len(found)) if found else np.zeros(table.shape[1])


def test_character_ngrams_are_those_counted_one_by_one():
    module = text_module("ngrams")
    params = module.init(KEY, TEXT, jnp.ones(ROWS))
    table = np.asarray(params["params"]["embedding"])
    values = module.apply(params, TEXT, jnp.ones(ROWS)).values[:, 0]
    for row, text in zip(values, TEXT, strict=True):
        expected = [naive_bag(text, order, table[order - 1]) for order in (1, 2, 3)]
        np.testing.assert_allclose(row, np.concatenate(expected), rtol=1e-5, atol=1e-6)


def test_ngrams_go_missing_in_training_with_a_key_alone_and_keep_their_mean():
    module = CharNgrams(4, (1,), 16, dropout=0.5)
    params = jax.jit(module.init)(KEY, TEXT, jnp.ones(ROWS))

    @jax.jit
    def dropped(keys):
        def one(key):
            rngs = {"dropout": key}
            return module.apply(params, TEXT, jnp.ones(ROWS), train=True, rngs=rngs).values

        return jax.vmap(one)(keys)

    whole = module.apply(params, TEXT, jnp.ones(ROWS)).values
    many = dropped(jax.random.split(KEY, 4000))
    error = 4 * many.std(0) / np.sqrt(len(many)) + 1e-6
    assert (many.std(0).max() > 0.01) and (np.abs(many.mean(0) - whole) < error).all()
    without = module.apply(params, TEXT, jnp.ones(ROWS), train=True).values
    np.testing.assert_array_equal(without, whole)


def test_texts_shorter_than_an_ngram_are_refused():
    with pytest.raises(ValueError, match="texts of 2 bytes hold no 3-gram"):
        text_module("ngrams").init(KEY, TEXT[:, :2], jnp.ones(ROWS))


@pytest.mark.parametrize("module", [CharNgrams(), ByteTransformer()])
def test_rows_of_numbers_are_no_texts(module):
    with pytest.raises(ValueError, match=r"codes \[B, L\] of whole numbers, got float32\[5, 12\]"):
        module.init(jax.random.key(0), jnp.ones((5, 12)), jnp.ones(5))


def test_raw_rows_have_length_one_and_zeros_stay_zeros():
    x = floats(4) * np.array([[1e-8], [1e3], [0.0]], np.float32)
    values = Raw().apply({}, x, jnp.ones(ROWS)).values[:, 0]
    np.testing.assert_allclose(np.linalg.norm(values, axis=1), [1, 1, 0], rtol=1e-5)


def test_rows_at_unit_length_are_encoded_alike_whatever_their_length():
    x = floats(4)
    module = UnitLength(Raw())
    long, short = (module.apply({}, c * x, jnp.ones(ROWS)).values for c in (1e3, 1e-2))
    np.testing.assert_allclose(long, short, rtol=1e-5)
    np.testing.assert_allclose(long[:, 0], x / np.linalg.norm(x, axis=1)[:, None], rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.int32, np.float16, jnp.bfloat16])
@pytest.mark.parametrize("name", [name for name in TINY if TINY[name][1].dtype == np.float32])
def test_integers_and_floats_of_half_precision_are_taken(name, dtype):
    make, x, shape = TINY[name]
    module = make(NORMS["calibrated"])
    tokens, _ = jax.eval_shape(module.init_with_output, KEY, x.astype(dtype), jnp.ones(ROWS))
    assert tokens.values.shape == (ROWS, *shape)


@pytest.mark.parametrize("name", TINY)
def test_no_rows_are_no_tokens(name):
    make, x, shape = TINY[name]
    module = make(NORMS["group"])
    params = jax.eval_shape(module.init, KEY, x, jnp.ones(ROWS))
    found = jax.eval_shape(module.apply, params, x[:0], jnp.ones(0))
    assert found.values.shape == (0, *shape) and found.mask.shape == (0, shape[0])


@pytest.mark.parametrize("dtype", [np.int8, np.bool_])
def test_sums_of_pixels_of_few_bits_do_not_overflow(dtype):
    module, x = Halved(Raw()), np.full((1, 4, 4, 1), 100).astype(dtype)
    x[0, 0] = 0
    expected = module.apply({}, x.astype(np.float32), jnp.ones(1)).values
    np.testing.assert_array_equal(module.apply({}, x, jnp.ones(1)).values, expected)


@pytest.mark.parametrize("name", ["conv4", "conv_audio", "resnet12"])
def test_waves_are_told_to_be_no_pictures_and_no_frames(name):
    with pytest.raises(ValueError, match=r"rows of shape \[40\] are neither .*audio:soundnet"):
        jax.eval_shape(TINY[name][0](CalibratedNorm).init, KEY, jnp.ones((2, 40)), jnp.ones(2))
