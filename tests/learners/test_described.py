"""Descriptions as labelled rows and beside a cache of rows, against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.encoders.multimodal import multimodal
from fsjax.encoders.tabular import Raw
from fsjax.encoders.transfer import passed_on
from fsjax.fusion.pooled import Plain
from fsjax.heads import prototype, ridge
from fsjax.learners import am3, described, metric, tip_adapter
from fsjax.learners.hallucinate import by_both, by_side
from fsjax.learners.tip_adapter import choose
from fsjax.learners.zero_shot import nearest_description
from fsjax.types import Inputs, Support

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
WAYS, D = 3, 5
LABELS = np.eye(WAYS, dtype=np.float32)[[0, 0, 1, 2]]


def inputs(**values):
    return Inputs(values, {m: np.ones(len(x), np.float32) for m, x in values.items()})


def numbers(*shape):
    return RNG.normal(size=shape).astype(np.float32)


ROWS, QUERY = inputs(x=numbers(4, D)), inputs(x=numbers(6, D))
# One kind in the space of the rows, one in another.
SIDE = inputs(tags=numbers(WAYS, D), words=numbers(WAYS, 7))
MISSING = {"nothing": (1, 1, 1), "a description": (1, 0, 1)}


def raw(modality):
    return multimodal({modality: Raw()}, Plain())


KINDS = {kind: raw(kind) for kind in SIDE.values}


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def told(params, side):
    """Kind -> places [W, D] and which are there."""
    of_kind = {}
    for kind, x in side.values.items():
        place = params["side"][kind].get("place", {"kernel": np.eye(D), "bias": 0.0})
        of_kind[kind] = unit(x) @ np.asarray(place["kernel"]) + place["bias"], side.present[kind]
    return of_kind


def support_without(missing, labels=LABELS):
    present = np.float32(MISSING[missing])
    side = {"tags": np.ones(WAYS, np.float32), "words": present}
    if missing == "a description":
        side["tags"] = present
    values = {m: np.where(side[m][:, None] > 0, x, np.nan) for m, x in SIDE.values.items()}
    return Support(ROWS, labels, Inputs(values, side))


def answers(learner):
    """Its parameters, and a function from them and a support set to logits."""
    params = jax.jit(learner.init)(KEY, support_without("nothing"))
    # Zeros at the start would hide much.
    params = jax.tree.map(
        lambda p: p + 0.1 * jnp.sin(1 + jnp.arange(p.size)).reshape(p.shape), params
    )

    @jax.jit
    def logits(params, support):
        return learner.predict(params, learner.adapt(params, support), QUERY)

    return params, logits


@pytest.fixture(scope="module")
def more_rows():
    return answers(described(raw("x"), KINDS, prototype(), weight=0.5))


@pytest.mark.parametrize("missing", MISSING)
def test_prototypes_are_means_of_rows_and_descriptions(more_rows, missing):
    params, logits = more_rows
    support = support_without(missing)
    assert set(params["side"]["words"]) == {"network", "place"}
    assert set(params["side"]["tags"]) == {"network"}
    z, q, scale = (
        unit(ROWS.values["x"]),
        unit(QUERY.values["x"]),
        np.exp(-params["head"]["log_temperature"]),
    )
    means = []
    for w in range(WAYS):
        total, count = z[LABELS[:, w] > 0].sum(0), LABELS[:, w].sum()
        for place, there in told(params, support.side).values():
            if there[w]:
                total, count = total + 0.5 * place[w], count + 0.5
        means.append(total / count)
    expected = -scale * np.square(q[:, None] - np.stack(means)).sum(-1)
    np.testing.assert_allclose(logits(params, support), expected, rtol=1e-4, atol=1e-4)


def test_a_class_without_rows_is_known_by_its_descriptions(more_rows):
    params, logits = more_rows
    support = support_without("nothing", LABELS * np.float32([1, 1, 0]))
    places = [place[2] for place, _ in told(params, support.side).values()]
    off = np.square(unit(QUERY.values["x"]) - np.mean(places, axis=0)).sum(-1)
    expected = -off * np.exp(-params["head"]["log_temperature"])
    np.testing.assert_allclose(logits(params, support)[:, 2], expected, rtol=1e-4)


def test_any_head_takes_them_as_it_takes_rows():
    """Also one that knows more of rows than their means: the same rows written out by hand."""
    learner, head = described(raw("x"), {"tags": raw("tags")}, ridge()), ridge()
    params, logits = answers(learner)
    found = logits(params, support_without("nothing"))
    whole = inputs(x=np.concatenate([ROWS.values["x"], SIDE.values["tags"]]))
    labels = np.concatenate([LABELS, np.eye(WAYS, dtype=np.float32)])
    alone = metric(raw("x"), head)
    task = alone.adapt(params, Support(whole, labels, Inputs({}, {})))
    np.testing.assert_allclose(found, alone.predict(params, task, QUERY), rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def cache():
    return answers(tip_adapter(raw("x"), KINDS, scale=7.0))


@pytest.mark.parametrize("missing", MISSING)
def test_a_cache_adds_to_descriptions_what_similar_rows_are_labelled(cache, missing):
    params, logits = cache
    params = params | {"weight": jnp.asarray(2.0), "sharpness": jnp.asarray(3.0)}
    support = support_without(missing, 0.5 * LABELS)
    z, q = unit(ROWS.values["x"]), unit(QUERY.values["x"])
    expected = np.zeros((6, WAYS))
    for i, w in np.ndindex(6, WAYS):
        there = [unit(place[w]) for place, there in told(params, support.side).values() if there[w]]
        cached = sum(np.exp(-3 * (1 - q[i] @ z[s])) * 0.5 * LABELS[s, w] for s in range(4))
        said = 7 * q[i] @ unit(sum(there)) if there else np.nan
        expected[i, w] = 2 * cached + said
    if missing == "a description":
        said = expected[:, [0, 2]] - 2 * np.exp(-3 * (1 - q @ z.T)) @ (0.5 * LABELS[:, [0, 2]])
        expected[:, 1] = said.mean(1) + 2 * np.exp(-3 * (1 - q @ z[2])) * 0.5
    np.testing.assert_allclose(logits(params, support), expected, rtol=1e-4, atol=1e-4)


def test_weight_and_sharpness_are_chosen_and_not_learned(cache):
    params, logits = cache
    loss = jax.jit(jax.grad(lambda params: jnp.square(logits(params, SUPPORT)).sum()))
    found = loss(params)
    assert (
        found["weight"] == found["sharpness"] == 0
        and found["side"]["words"]["place"]["kernel"].any()
    )
    tried = []

    def measure(params):
        tried.append((float(params["weight"]), float(params["sharpness"])))
        return -abs(tried[-1][0] - 9) - abs(tried[-1][1] - 2)

    best = choose(params, measure, weights=(1.0, 10.0), sharpnesses=(1.5, 5.5))
    assert (float(best["weight"]), float(best["sharpness"])) == (10.0, 1.5)
    assert len(set(tried)) == 4 and set(best) == set(params)


SUPPORT = support_without("nothing")


def test_what_they_cannot_take_is_said():
    with pytest.raises(ValueError, match="at least, and got none"):
        jax.eval_shape(described(raw("x"), {}, prototype()).init, KEY, SUPPORT)
    with pytest.raises(ValueError, match="no description 'icon'; there is tags, words"):
        jax.eval_shape(tip_adapter(raw("x"), {"icon": raw("icon")}).init, KEY, SUPPORT)
    with pytest.raises(ValueError, match="0 rows or more, not -1"):
        described(raw("x"), KINDS, prototype(), weight=-1)


@pytest.mark.parametrize("make", [am3, described, lambda *parts: tip_adapter(*parts[:2])])
def test_an_absent_description_is_not_seen_by_its_network_even_if_nan(make):
    learner = make(raw("x"), {"words": passed_on("words")}, prototype())
    support = Support(ROWS, LABELS, SIDE)
    params = learner.init(KEY, support)

    @jax.jit
    def gradients(absent):
        words = jnp.asarray(SIDE.values["words"]).at[1].set(absent)
        side = Inputs({"words": words}, {"words": jnp.array([1.0, 0.0, 1.0])})

        def loss(params):
            task = learner.adapt(params, support._replace(side=side))
            return jnp.sin(learner.predict(params, task, QUERY)).sum()

        return jax.grad(loss)(params)

    jax.tree.map(np.testing.assert_array_equal, gradients(jnp.nan), gradients(7.0))


def test_descriptions_alone_give_no_nan_to_classes_without_one():
    words = jnp.asarray(QUERY.values["x"][:WAYS]).at[1].set(jnp.nan)
    side = Inputs({"words": words}, {"words": jnp.array([1.0, 0.0, 1.0])})
    learner = nearest_description("x", "words")
    logits = learner.predict({}, learner.adapt({}, Support(ROWS, LABELS, side)), QUERY)
    assert np.isfinite(logits).all() and not logits[:, 1].any()
    for describe in (by_side("words"), by_both("words")):
        assert not describe(jnp.zeros((WAYS, D)), side).side[1].any()


@pytest.mark.parametrize("absent", [jnp.nan, 7.0])
def test_a_query_without_the_modality_is_near_to_no_description(absent):
    words = {"words": jnp.asarray(QUERY.values["x"][:WAYS])}
    side, learner = Inputs(words, {"words": jnp.ones(WAYS)}), nearest_description("x", "words")
    task = learner.adapt({}, Support(ROWS, LABELS, side))
    hidden = jnp.asarray(QUERY.values["x"]).at[1].set(absent)
    there = jnp.asarray(QUERY.present["x"]).at[1].set(0.0)
    logits = learner.predict({}, task, Inputs({"x": hidden}, {"x": there}))
    assert not logits[1].any() and np.ptp(logits[0]) > 0.1
