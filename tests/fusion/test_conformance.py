"""What every fusion promises, over all that can be named in a config; attention by itself."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments import build
from fsjax.fusion.attention import Attention, attention_shares, masked_softmax
from fsjax.fusion.pooled import mean_pool
from fsjax.types import Tokens
from tests.fusion import naive

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
PRESENT = {
    "image": jnp.array([1.0, 1, 0, 0, 1]),
    "text": jnp.array([1.0, 0, 1, 0, 1]),
    "sound": jnp.array([1.0, 0, 1, 0, 0]),
}


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def tokens_of(length: int, features: int, padded=()) -> Tokens:
    mask = np.ones((5, length), np.float32)
    for row, size in padded:
        mask[row, size:] = 0
    return Tokens(normal(5, length, features), jnp.asarray(mask))


TOKENS = {
    "image": tokens_of(3, 5),
    "text": tokens_of(6, 4, [(0, 2), (2, 1), (4, 0)]),  # row 4: an empty text
    "sound": tokens_of(1, 3),
}


def shaken(params):
    """Attention starts from a query of zeros, which would hide much."""
    return jax.tree.map(lambda p: p + 0.3 * jnp.sin(jnp.arange(p.size)).reshape(p.shape), params)


def masked_values(tokens, garbage):
    """The values of absent modalities and of padding replaced."""

    def replace(name):
        kept = tokens[name].mask * PRESENT[name][:, None] > 0
        return Tokens(jnp.where(kept[..., None], tokens[name].values, garbage), tokens[name].mask)

    return {name: replace(name) for name in tokens}


# Fusions that tell how much of the features each modality makes up.
TELLING = ("attention", "sum", "gated", "cross_attention", "experts")


@cache
def of_fusion(name):
    """Parameters of a fusion, what it tells of modalities, features."""
    fusion = build.FUSIONS[name]()

    @jax.jit
    def run(key, tokens, present):
        params = shaken(fusion.init(key, tokens, present).get("params", {}))
        z, told = fusion.apply({"params": params}, tokens, present, mutable=["intermediates"])
        told = told.get("intermediates", {})  # those of parts are in dictionaries of their own
        return params, {m: x[0] for m, x in told.items() if isinstance(x, tuple)}, z

    return run(KEY, TOKENS, PRESENT)


# Late fusions share a module, and differ by their heads.
MODULES = [name for name in build.FUSIONS if name != "late_precision"]


@pytest.fixture(scope="module", params=MODULES)
def fused(request):
    """A fusion, its parameters and what it and its gradients are, all by one program."""
    fusion, params = build.FUSIONS[request.param](), of_fusion(request.param)[0]

    @jax.jit
    def run(params, tokens, present):
        def loss(params, tokens):
            z = fusion.apply({"params": params}, tokens, present)
            return jnp.sin(z).sum(), z

        gradients, z = jax.grad(loss, (0, 1), has_aux=True)(params, tokens)
        return z, gradients

    return fusion, params, run, run(params, TOKENS, PRESENT)


def test_features_are_the_same_without_jit_whatever_the_order_of_modalities(fused):
    fusion, params, _, (z, _) = fused
    assert z.shape[0] == 5 and z.ndim == 2
    # With jit no order is seen: dictionaries are sorted.
    tokens, present = ({m: x[m] for m in reversed(x)} for x in (TOKENS, PRESENT))
    ours = fusion.apply({"params": params}, tokens, present)
    np.testing.assert_allclose(ours, z, rtol=1e-4, atol=1e-5)


NAIVE = {
    "concat": naive.concat,
    "sum": naive.weighted_sum,
    "gated": naive.gated,
    "film": naive.film,
    "cross_attention": naive.cross_attention,
    "bottleneck": naive.bottleneck,
    "low_rank": naive.low_rank,
    "experts": naive.experts,
    "late": naive.late,
    "late_common": naive.late_common,
}


@pytest.mark.parametrize("name", NAIVE)
def test_features_are_those_of_loops(name):
    params, _, z = of_fusion(name)
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    for i in (0, 1, 2):
        row = {m: kept for m, x in TOKENS.items() if len(kept := kept_tokens(m, x, i))}
        np.testing.assert_allclose(z[i], NAIVE[name](params, row), rtol=1e-4, atol=1e-5)


def kept_tokens(name, tokens, row):
    kept = np.asarray(tokens.mask[row] * PRESENT[name][row]) > 0
    return np.asarray(tokens.values[row], np.float64)[kept]


@pytest.mark.parametrize("garbage", [0.0, 1e4])
def test_values_of_absent_modalities_and_of_padding_change_nothing(fused, garbage):
    _, params, run, (z, gradients) = fused
    ours, ours_gradients = run(params, masked_values(TOKENS, garbage), PRESENT)
    np.testing.assert_array_equal(ours, z)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        ours_gradients[0],
        gradients[0],
    )


@pytest.mark.parametrize("name", TOKENS)
def test_values_that_are_there_tell(fused, name):
    _, params, run, (z, _) = fused
    values = TOKENS[name].values.at[0, 0, 1].add(2.0)
    moved, _ = run(params, TOKENS | {name: TOKENS[name]._replace(values=values)}, PRESENT)
    assert np.abs(moved[0] - z[0]).max() > 1e-3
    np.testing.assert_allclose(moved[1:], z[1:], rtol=1e-5, atol=1e-6)


def test_rows_without_any_modality_are_zeros_and_all_gradients_finite(fused):
    _, _, _, (z, gradients) = fused
    assert np.isfinite(z).all() and not np.any(z[3])
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))


def test_a_fusion_that_tells_no_shares_has_none():
    params, *_ = of_fusion("concat")
    assert attention_shares(build.FUSIONS["concat"](), params, TOKENS, PRESENT) == {}


@pytest.mark.parametrize("name", TELLING)
def test_what_modalities_make_up_is_told_and_nothing_where_they_are_absent(name):
    params, shares, _ = of_fusion(name)
    again = attention_shares(build.FUSIONS[name](), params, TOKENS, PRESENT)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), again, shares)
    found = np.stack([shares[m] for m in sorted(TOKENS)])
    here = np.stack([PRESENT[m] * TOKENS[m].mask.max(1) for m in sorted(TOKENS)])
    assert (found[here > 0] > 0).all() and not found[here == 0].any()
    if name == "experts":  # the prior makes up what is left
        assert (found.sum(0) < 1).all()
    else:
        np.testing.assert_allclose(found.sum(0), here.max(0), rtol=1e-5)


@jax.jit
def made():
    return Attention(features=8, heads=2).init(KEY, TOKENS, PRESENT)["params"]


@jax.jit
def shares_of(params, tokens):
    return attention_shares(Attention(features=8, heads=2), params, tokens, PRESENT)


def shares(change, tokens=TOKENS):
    return shares_of(change(made()), tokens)


def test_the_shares_of_attention_add_up_to_one_over_what_is_there():
    found = shares(shaken)
    for name, share in found.items():
        here = (PRESENT[name] > 0) & (TOKENS[name].mask.sum(1) > 0)
        assert (np.asarray(share)[~here] == 0).all() and (np.asarray(share)[here] > 0).all()
    np.testing.assert_allclose(sum(found.values()), [1, 1, 1, 0, 1], rtol=1e-5)


def test_attention_starts_equal_for_each_modality_whatever_its_number_of_tokens():
    found = shares(lambda params: params)
    np.testing.assert_allclose(found["image"], [1 / 3, 1, 0, 0, 1], rtol=1e-5)
    np.testing.assert_allclose(found["text"], [1 / 3, 0, 1 / 2, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(found["sound"], [1 / 3, 0, 1 / 2, 0, 0], rtol=1e-5)


def test_attention_starts_from_the_mean_normalised_tokens_times_the_roots_of_shares():
    fusion = Attention(features=8, heads=2)
    z = jax.jit(lambda: fusion.init_with_output(KEY, TOKENS, PRESENT)[0])()

    def normalised(tokens):
        x = np.asarray(tokens.values)
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return tokens._replace(values=x)

    means = [mean_pool(normalised(TOKENS[m]))[0] / np.sqrt(3) for m in sorted(TOKENS)]
    np.testing.assert_allclose(z[0], np.concatenate(means), rtol=1e-4, atol=1e-5)


def test_a_row_is_as_long_whichever_modality_it_attends_to():
    """One token a modality, two values each: normalised, their squares add up to 2."""
    present = {m: jnp.ones(5) for m in "abc"}
    tokens = {m: Tokens(normal(5, 1, 2) + jnp.array([0, 9.0]), jnp.ones((5, 1))) for m in present}
    fusion = Attention(features=8, heads=2)
    params = jax.jit(fusion.init)(KEY, tokens, present)["params"]
    params |= {"query": 9.0 * jnp.sin(jnp.arange(8.0))}
    z = fusion.apply({"params": params}, tokens, present)
    share = attention_shares(fusion, params, tokens, present)
    np.testing.assert_allclose(jnp.square(z).sum(-1), np.full(5, 2.0), rtol=1e-4)
    np.testing.assert_allclose(jnp.square(z[:, :2]).sum(-1), 2 * share["a"], rtol=1e-4)
    assert np.abs(share["a"] - 1 / 3).max() > 0.01


def test_tokens_see_those_of_other_modalities_before_they_are_weighed():
    other = TOKENS["sound"]._replace(values=TOKENS["sound"].values[:, :, ::-1])
    ratios = [
        found["image"][0] / found["text"][0]
        for found in (shares(shaken, tokens) for tokens in (TOKENS, TOKENS | {"sound": other}))
    ]
    assert abs(ratios[0] / ratios[1] - 1) > 1e-3


def test_the_mean_pool_is_the_mean_of_tokens_that_are_not_padding():
    ours = mean_pool(TOKENS["text"])
    for row, length in enumerate([2, 6, 1, 6, 0]):
        kept = np.asarray(TOKENS["text"].values)[row, :length]
        expected = kept.mean(0) if length else np.zeros(4)
        np.testing.assert_allclose(ours[row], expected, rtol=1e-5, atol=1e-6)


softmax = jax.jit(masked_softmax)
softmax_gradient = jax.jit(
    jax.grad(lambda logits, mask: (masked_softmax(logits, mask) * jnp.arange(4.0)).sum())
)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=4, max_size=4),
    st.lists(st.sampled_from([0.0, 1.0]), min_size=4, max_size=4),
)
def test_a_masked_softmax_is_numpys_over_what_is_kept(logits, mask):
    logits, mask = np.array(logits, np.float32), np.array(mask, np.float32)
    expected = np.zeros(4)
    kept = mask > 0
    if kept.any():
        powers = np.exp(logits[kept].astype(np.float64) - logits[kept].max())
        expected[kept] = powers / powers.sum()
    ours = softmax(logits, mask)
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-6)
    assert not np.any(ours[~kept])
    gradient = softmax_gradient(logits, mask)
    assert np.isfinite(gradient).all() and not np.any(gradient[~kept])


@pytest.mark.parametrize("name", MODULES)
def test_no_rows_are_no_features(name):
    fusion = build.FUSIONS[name]()
    params = jax.eval_shape(fusion.init, KEY, TOKENS, PRESENT)
    none = jax.tree.map(lambda x: x[:0], (TOKENS, PRESENT))
    found, whole = (jax.eval_shape(fusion.apply, params, *x) for x in (none, (TOKENS, PRESENT)))
    assert found.shape == (0, whole.shape[1])
