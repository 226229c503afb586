"""Late fusion against a loop over modalities, with rows that lack some."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fsjax.heads import predictive, prototype
from fsjax.heads.late import alike, late, precision, with_unknown
from tests.heads import naive

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
LABELS = np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 2, 2]]
# Support and query rows of two modalities; no row of class 2 has the second.
THERE = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 0, 1, 0, 0]], bool)
ASKED = np.array([[1, 1, 0, 0], [1, 0, 1, 0]], bool)


def stacked(features, there):
    """[M, B, D], [M, B] -> [B, M * (D + 1)], zeros where absent."""
    places = np.concatenate([features, np.ones((*there.shape, 1))], axis=-1) * there[..., None]
    return places.swapaxes(0, 1).reshape(there.shape[1], -1).astype(np.float32)


ROWS, QUERIES = RNG.normal(size=(2, 6, 4)), RNG.normal(size=(2, 4, 4))
Z, Q = stacked(ROWS, THERE), stacked(QUERIES, ASKED)


@pytest.fixture(scope="module", params=[alike, precision()], ids=["alike", "precision"])
def answered(request):
    """Trust, parameters and logits of a late fusion of prototypes, and whether all is finite."""
    head = late(with_unknown(prototype()), modalities=2, trust=request.param)

    def logits(params, z, y, q):
        return head.score(params, head.fit(params, z, y), q)

    @jax.jit
    def run():
        params = head.init(KEY, Z, LABELS) | {"weights": jnp.array([0.3, -0.2])}
        params["each"] |= {"unknown": jnp.array([0.1, -0.4])}
        loss = lambda *rows: jax.nn.log_softmax(logits(*rows))[:, 0].sum()  # noqa: E731
        of_zeros = jax.grad(loss, (0, 1, 3))(params, 0 * Z, LABELS, 0 * Q)
        padded = np.pad(Z, ((2, 0), (0, 0)), constant_values=5.0)
        again = logits(params, padded, np.pad(LABELS, ((2, 0), (0, 0))), Q)
        return params, logits(params, Z, LABELS, Q), again, of_zeros

    return request.param, *run()


def test_logits_are_those_of_each_modality_added_up(answered):
    trust, params, ours, _, _ = answered
    expected = np.zeros((4, 3))
    for m in range(2):
        own, labels = jax.tree.map(lambda x, m=m: x[m], params["each"]), LABELS * THERE[m][:, None]
        known = [0, 1, 2] if m == 0 else [0, 1]
        said = naive.prototype(own["head"], ROWS[m], labels[:, known], QUERIES[m])
        full = np.repeat(said.mean(1, keepdims=True), 3, axis=1) * np.exp(own["unknown"])
        full[:, known] = said
        counts = np.exp(params["weights"][m]) * trust(jnp.float32(ROWS[m]), labels)
        expected += np.asarray(counts) * full * ASKED[m][:, None]
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_a_head_that_knows_of_classes_without_rows_is_asked_about_them():
    head = late(predictive(), modalities=2)
    params = head.init(KEY, Z, LABELS)
    expected = np.zeros((4, 3))
    for m, there in enumerate(THERE):
        own = jax.tree.map(lambda x, m=m: x[m], params["each"])
        labels = LABELS * there[:, None]
        task = predictive().fit(own, ROWS[m], labels)
        expected += predictive().score(own, task, QUERIES[m]) * ASKED[m][:, None]
    ours = head.score(params, head.fit(params, Z, LABELS), Q)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_what_modalities_say_is_added_up_in_full_precision_also_on_a_tpu(answered):
    trust, params, *_ = answered
    head = late(with_unknown(prototype()), modalities=2, trust=trust)

    def logits(z, q):
        return head.score(params, head.fit(params, z, LABELS), q)

    program = str(jax.make_jaxpr(logits)(Z, Q))
    assert program.count("dot_general[") == program.count("precision=(Precision.HIGHEST")


def test_a_query_without_any_modality_is_told_nothing(answered):
    _, _, ours, _, _ = answered
    np.testing.assert_array_equal(ours[3], np.zeros(3))


def test_padding_changes_nothing(answered):
    _, _, ours, padded, _ = answered
    np.testing.assert_allclose(padded, ours, rtol=1e-4, atol=1e-5)


def test_gradients_are_finite_where_all_features_are_zero(answered):
    *_, gradients = answered
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))


def test_trust_is_the_variance_between_classes_over_an_estimate_of_that_within():
    z = np.array([[0.0], [2.0], [10.0], [10.0]], np.float32)
    y = np.eye(2, dtype=np.float32)[[0, 0, 1, 1]]
    between = 9.0**2 / 2
    expected = between / ((3 * between + 2.0) / (3 + 2))  # within: 1 + 1 over 2 degrees
    np.testing.assert_allclose(precision(strength=3.0)(z, y), expected, rtol=1e-5)
    np.testing.assert_allclose(precision()(z[::2], y[::2]), 1.0)


def test_features_that_are_no_stack_of_the_modalities_are_refused():
    with pytest.raises(ValueError, match="3 modalities stacked"):
        late(prototype(), modalities=3).init(KEY, Z, LABELS)


def test_no_queries_get_no_logits():
    head = late(with_unknown(prototype()), modalities=2)

    def logits():
        params = head.init(KEY, Z, LABELS)
        return head.score(params, head.fit(params, Z, LABELS), Q[:0])

    assert jax.eval_shape(logits).shape == (0, 3)
