"""Networks of several modalities: what is missing tells nothing, and two ways to one result."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.encoders.layers import one_token
from fsjax.encoders.multimodal import (
    Multimodal,
    as_network,
    calibrate,
    encode_pool,
    encoded,
    multimodal,
)
from fsjax.encoders.norms import CalibratedNorm, SupportNorm
from fsjax.encoders.tabular import MLP, Standardised
from fsjax.encoders.text import ByteTransformer
from fsjax.fusion.attention import Attention
from fsjax.fusion.centred import Centred
from fsjax.fusion.pooled import Concat
from fsjax.types import Inputs, Pool, Source, Tokens

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
ROWS = 7
FUSIONS = {"attention": Attention(features=4, heads=2), "concat": Concat()}
EVERY_FUSION = pytest.mark.parametrize("fusion", FUSIONS)


class Normed(nn.Module):
    """A linear map and a norm over the rows."""

    norm: type[nn.Module] = CalibratedNorm

    @nn.compact
    def __call__(self, x, weight, *, train=False):
        return one_token(self.norm()(nn.Dense(3)(x), weight, train=train))


def normal(*shape):
    return jnp.asarray(RNG.normal(2.0, 3.0, size=shape), jnp.float32)


PRESENT = {
    "sound": jnp.array([1.0, 1, 0, 1, 0, 0, 1]),
    "text": jnp.array([1.0, 1, 1, 0, 1, 0, 0]),
    "traits": jnp.array([1.0, 0, 1, 1, 0, 0, 1]),
}
TEXT = jnp.array(RNG.integers(1, 257, size=(ROWS, 4)) * (np.arange(4) < 3), jnp.int32)
INPUTS = Inputs({"sound": normal(ROWS, 5), "text": TEXT, "traits": normal(ROWS, 2)}, PRESENT)
ENCODERS = {"sound": Normed(), "text": ByteTransformer(4, 1, 2), "traits": MLP((), 3)}


def shaken(params):
    """Attention starts from a query of zeros, which would hide much."""
    return jax.tree.map(lambda p: p + 0.3 * jnp.sin(jnp.arange(p.size)).reshape(p.shape), params)


@pytest.fixture(scope="module")
def params():
    made = {f: jax.jit(multimodal(ENCODERS, FUSIONS[f]).init)(KEY, INPUTS) for f in FUSIONS}
    return {f: shaken(p) for f, p in made.items()}


features_of = {
    name: jax.jit(partial(multimodal(ENCODERS, fusion).apply, inputs=INPUTS))
    for name, fusion in FUSIONS.items()
}


def hidden(values, garbage):
    def replace(name):
        here = PRESENT[name][:, None] > 0
        return jnp.where(here, values[name], jnp.asarray(garbage).astype(values[name].dtype))

    return {name: replace(name) for name in values}


@EVERY_FUSION
def test_values_of_absent_modalities_change_nothing_at_all_even_if_nan(fusion, params):
    network = multimodal(ENCODERS, FUSIONS[fusion])

    @jax.jit
    def everything(params, values):
        def loss(params, train):
            inputs = Inputs(values, PRESENT)
            z, stats = network.apply(params, inputs, train=train)
            return jnp.square(z).sum(), (z, stats)

        return [jax.grad(loss, has_aux=True)(params, train) for train in (False, True)]

    expected = everything(params[fusion], INPUTS.values)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(expected))
    for garbage in (np.nan, 200.0):
        changed = everything(params[fusion], hidden(INPUTS.values, garbage))
        jax.tree.map(np.testing.assert_array_equal, changed, expected)
    # Values that are there do tell.
    moved = everything(params[fusion], INPUTS.values | {"sound": INPUTS.values["sound"] + 1.0})
    assert np.abs(moved[0][1][0][0] - expected[0][1][0][0]).max() > 1e-3


@EVERY_FUSION
def test_a_row_of_one_modality_works_and_one_of_none_says_nothing(fusion, params):
    z, _ = features_of[fusion](params[fusion])
    assert np.isfinite(z).all()
    one, none = z[4], z[5]  # text alone, nothing
    assert np.abs(one).max() > 1e-2 and not np.any(none)


def test_absent_rows_and_rows_of_weight_zero_do_not_enter_the_statistics():
    network = multimodal({"sound": Normed()}, Concat())
    params = network.init(KEY, INPUTS)
    dense = params["encoders_sound"]["Dense_0"]
    weight = jnp.array([1.0, 0, 1, 2, 1, 1, 1])
    _, stats = network.apply(params, INPUTS, weight=weight, train=True)
    rows = np.asarray(INPUTS.values["sound"])[[0, 3, 3, 6]] @ dense["kernel"] + dense["bias"]
    found = stats["encoders_sound"]["CalibratedNorm_0"]
    np.testing.assert_allclose(found["mean"], rows.mean(0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["var"], rows.var(0), rtol=1e-4, atol=1e-4)


@EVERY_FUSION
@pytest.mark.parametrize("batch", [3, 256])
def test_encoding_a_pool_first_gives_the_same_features(fusion, batch, params):
    module = Multimodal(ENCODERS, FUSIONS[fusion])
    extra = Inputs(INPUTS.values | {"unused": normal(ROWS, 2)}, PRESENT | {"unused": jnp.ones(7)})

    def source(*names):
        inputs = Inputs(*({m: part[m] for m in names} for part in extra))
        return Source(inputs, jnp.zeros((1, 1), jnp.int32), jnp.ones(1), jnp.arange(ROWS))

    sources = {"a": source("sound", "traits", "unused"), "b": source("text"), "c": source("unused")}
    pool = encode_pool(module, params[fusion], Pool(sources, Inputs({}, {})), batch=batch)
    inputs = {name: source.inputs for name, source in pool.sources.items()}
    assert [set(x.values) for x in inputs.values()] == [{"sound", "traits"}, {"text"}, set()]
    assert isinstance(inputs["b"].values["text"], Tokens)
    assert "unused" in inputs["a"].present and "unused" in inputs["c"].present
    together = Inputs(*({**a, **b} for a, b in zip(inputs["a"], inputs["b"], strict=True)))
    ours, _ = as_network(encoded(module)).apply(params[fusion], together)
    expected, _ = features_of[fusion](params[fusion])
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)
    for one in pool.sources.values():
        np.testing.assert_array_equal(one.group, np.arange(ROWS))


BATCHES = Inputs({"sound": normal(4, ROWS, 5)}, {"sound": jnp.ones((4, ROWS))})


def test_calibration_writes_the_mean_and_variance_over_all_batches():
    network = multimodal({"sound": Normed()}, Concat())
    params = shaken(network.init(KEY, INPUTS))
    found = jax.jit(partial(calibrate, network))(params, BATCHES)
    before, after = params["encoders_sound"], found["encoders_sound"]
    dense = before["Dense_0"]
    y = np.asarray(BATCHES.values["sound"]).reshape(-1, 5) @ dense["kernel"] + dense["bias"]
    norm = after["CalibratedNorm_0"]
    np.testing.assert_allclose(norm["mean"], y.mean(0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(norm["var"], y.var(0), rtol=1e-4, atol=1e-4)
    assert jax.tree.structure(found) == jax.tree.structure(params)
    np.testing.assert_array_equal(after["Dense_0"]["kernel"], dense["kernel"])
    affine = "_Affine_0"
    jax.tree.map(np.testing.assert_array_equal, norm[affine], before["CalibratedNorm_0"][affine])


def test_calibration_weighs_batches_by_the_rows_that_have_the_modality():
    network = multimodal({"sound": Standardised(MLP((), 3))}, Concat())
    x = RNG.normal(5.0, 2.0, size=(3, ROWS, 4)).astype(np.float32)
    there = np.zeros((3, ROWS), np.float32)
    there[0, :2], there[1] = 1, 1  # and no row of the last batch
    batches = Inputs({"sound": x}, {"sound": there})
    params = network.init(KEY, jax.tree.map(lambda x: x[0], batches))
    found = calibrate(network, params, batches)["encoders_sound"]
    np.testing.assert_allclose(found["mean"], x[there > 0].mean(0), rtol=1e-5)
    np.testing.assert_allclose(found["var"], x[there > 0].var(0), rtol=1e-4)
    none = calibrate(network, params, Inputs({"sound": x}, {"sound": np.zeros_like(there)}))
    jax.tree.map(np.testing.assert_array_equal, none, params)


def test_features_less_their_mean_over_all_batches_once_it_is_known():
    network = multimodal({"sound": Normed()}, Centred(Concat()))
    params = shaken(network.init(KEY, INPUTS))
    params["fusion"]["mean"] = jnp.zeros_like(params["fusion"]["mean"])
    found = jax.jit(partial(calibrate, network))(params, BATCHES)
    plain = multimodal({"sound": Normed()}, Concat())
    fusion = {name: part for name, part in params["fusion"]["fusion"].items()}

    def features(batch, train):
        return plain.apply(params | {"fusion": fusion}, batch, train=train)[0]

    batches = [jax.tree.map(lambda x, i=i: x[i], BATCHES) for i in range(len(BATCHES[1]["sound"]))]
    mean = np.concatenate([features(batch, True) for batch in batches]).mean(0)
    np.testing.assert_allclose(found["fusion"]["mean"], mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(network.apply(params, INPUTS)[0], features(INPUTS, False))
    centred = network.apply(params | {"fusion": found["fusion"]}, INPUTS)[0]
    np.testing.assert_allclose(centred, features(INPUTS, False) - mean, rtol=1e-3, atol=1e-4)
    gradient = jax.grad(lambda p: network.apply(p, INPUTS)[0].sum())(found)["fusion"]["mean"]
    assert not np.any(gradient)


def test_rows_of_which_nothing_is_there_have_no_part_in_the_mean_of_features():
    network = multimodal({"sound": Normed()}, Centred(Concat()))
    params = shaken(network.init(KEY, INPUTS))
    present = jnp.arange(len(INPUTS.present["sound"])) % 2.0
    some = Inputs(INPUTS.values, {"sound": present})
    kept = jax.tree.map(lambda x: x[present > 0], some)
    found, expected = (network.apply(params, x, train=True)[1]["fusion"] for x in (some, kept))
    np.testing.assert_allclose(found["mean"], expected["mean"], rtol=1e-5, atol=1e-6)
    none = network.apply(params, some._replace(present={"sound": 0 * present}), train=True)[1]
    np.testing.assert_array_equal(none["fusion"]["mean"], 0.0)


def test_gradients_do_not_flow_through_a_calibration():
    network = multimodal({"sound": Normed()}, Concat())
    params = network.init(KEY, INPUTS)

    def loss(params, calibrated):
        return jnp.square(network.apply(calibrated(params), INPUTS)[0] - 1.0).sum()

    @jax.jit
    def gradients(params):
        constant = calibrate(network, params, BATCHES)
        through = jax.grad(loss)(params, lambda params: calibrate(network, params, BATCHES))
        return through, jax.grad(loss)(constant, lambda params: params)

    ours, expected = gradients(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-4), ours, expected)
    assert np.abs(ours["encoders_sound"]["Dense_0"]["kernel"]).max() > 1e-5


def test_a_network_without_calibrated_norms_is_calibrated_to_itself():
    network = multimodal({"sound": MLP((), 3)}, Concat())
    params = network.init(KEY, INPUTS)
    jax.tree.map(np.testing.assert_array_equal, calibrate(network, params, BATCHES), params)


@pytest.mark.parametrize("lacks", [("values", "present"), ("values",), ("present",)])
def test_a_modality_that_the_inputs_lack_is_named(lacks):
    without = {n: {m: getattr(INPUTS, n)[m] for m in ("traits", "sound")} for n in lacks}
    lacking = INPUTS._replace(**without)
    message = "the network has an encoder for text, which the inputs lack; they have sound, traits"
    with pytest.raises(ValueError, match=message):
        multimodal(ENCODERS, Concat()).init(KEY, lacking)


@pytest.mark.parametrize("labels", [np.arange(ROWS), np.eye(ROWS)[1:]])
def test_labels_that_are_none_of_rows_by_ways_are_told(labels):
    network = multimodal({"sound": MLP((), 3)}, Concat())
    params = network.init(KEY, INPUTS)
    with pytest.raises(ValueError, match=r"7 rows have weights of shape \[6?\]: .*one_hot"):
        network.apply(params, INPUTS, weight=labels.sum(-1))


def test_statistics_go_out_of_a_network_and_back_in():
    network = multimodal({"sound": Normed(SupportNorm), "traits": Normed(SupportNorm)}, Concat())
    params = network.init(KEY, INPUTS)
    z, stats = network.apply(params, INPUTS)
    query = jax.tree.map(lambda x: x[:1], INPUTS)
    ours, kept = network.apply(params, query, stats=stats)
    np.testing.assert_allclose(ours, z[:1], rtol=1e-5, atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, kept, stats)
    own, _ = network.apply(params, query)
    assert np.abs(own - z[:1]).max() > 0.1


def test_a_key_reaches_dropout_and_different_keys_drop_differently():
    class Dropped(nn.Module):
        @nn.compact
        def __call__(self, inputs, weight, *, train=False):
            return nn.Dropout(0.5, deterministic=not train)(inputs.values["sound"])

    network = as_network(Dropped())
    params = network.init(KEY, INPUTS)
    tested, trained, again, other = (
        network.apply(params, INPUTS, key=jax.random.key(seed), train=train)[0]
        for seed, train in ((0, False), (0, True), (0, True), (1, True))
    )
    np.testing.assert_array_equal(tested, INPUTS.values["sound"])
    np.testing.assert_array_equal(trained, again)
    assert (trained == 0).any() and not np.array_equal(trained, other)
