"""Students and teachers against NumPy, finite differences and a student without a teacher."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from fsjax.evaluation.figures import accuracy
from fsjax.heads.mahalanobis import mahalanobis
from fsjax.heads.prototype import prototype
from fsjax.learners.embedding import embed_together
from fsjax.learners.metric import metric
from fsjax.objectives.distillation import (
    Seen,
    compared,
    distillation,
    neighbouring,
    predicted,
    related,
    softened,
)
from fsjax.objectives.episodic import query_loss
from fsjax.objectives.losses import cross_entropy
from fsjax.types import Episode, Inputs, Learner, Network, Support

RNG = np.random.default_rng(0)
STEP, KEY = jnp.zeros((), jnp.int32), jax.random.key(0)
WAYS, SUPPORTS, QUERIES = 3, 4, 5
EYE = np.eye(WAYS, dtype=np.float32)
LABELS, TARGETS = EYE[[0, 1, 2, 1]], EYE[[0, 1, 2, 2, 0]]
HEAD = prototype(temperature=1.0)


def linear(modalities: str, features: int) -> Network:
    """A linear map of the modalities that it sees, padding as `Multimodal` has it."""

    def joined(inputs, weight):
        x = jnp.concatenate([inputs.values[m] for m in modalities], axis=1)
        return x if weight is None else jnp.where(weight[:, None] > 0, x, 0.0)

    return Network(
        lambda key, inputs: jax.random.normal(key, (joined(inputs, None).shape[1], features)),
        lambda params, inputs, *, weight=None, **_: (joined(inputs, weight) @ params, {}),
    )


def rows(number: int) -> Inputs:
    values = {m: jnp.array(RNG.normal(size=(number, 3)), jnp.float32) for m in "xy"}
    return Inputs(values, {m: jnp.ones(number) for m in "xy"})


EPISODE = Episode(
    Support(rows(SUPPORTS), jnp.array(LABELS), Inputs({}, {})), rows(QUERIES), jnp.array(TARGETS)
)
NETWORKS = {"student": linear("x", 2), "teacher": linear("xy", 4)}
LEARNERS = {name: metric(network, HEAD) for name, network in NETWORKS.items()}
PARAMS = {name: LEARNERS[name].init(KEY, EPISODE.support) for name in LEARNERS}
SEE = {name: compared(embed_together(NETWORKS[name]), HEAD) for name in NETWORKS}
MATCHES = {
    "softened": softened(temperature=3.0),
    "neighbouring": neighbouring(temperature=3.0),
    "related": related(),
}


def objective(match, params=PARAMS["teacher"], **options):
    return distillation(SEE["student"], SEE["teacher"], params, match, **options)


def seen(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits and features, by NumPy."""
    inputs = [EPISODE.support.inputs, EPISODE.query]
    modalities = {"student": "x", "teacher": "xy"}[name]
    x = np.concatenate([np.concatenate([i.values[m] for m in modalities], 1) for i in inputs])
    z = np.float64(x) @ np.float64(PARAMS[name]["network"])
    prototypes = LABELS.T @ z[:SUPPORTS] / LABELS.sum(0)[:, None]
    distances = np.square(z[SUPPORTS:, None] - prototypes).sum(-1)
    return -distances / np.exp(PARAMS[name]["head"]["log_temperature"]), z


def naive_softened(student, teacher):
    ours, theirs = student[0] / 3.0, teacher[0] / 3.0
    p, log_p, log_q = softmax(theirs, 1), log_softmax(theirs, 1), log_softmax(ours, 1)
    return 9.0 * (p * (log_p - log_q)).sum(1).mean()


def naive_related(student, teacher):
    pairs = [(i, j) for i in range(9) for j in range(9) if i != j]
    ours, theirs = (
        np.array([np.linalg.norm(z[i] - z[j]) for i, j in pairs]) for z in (student[1], teacher[1])
    )
    error = np.abs(ours / ours.mean() - theirs / theirs.mean())
    return np.where(error <= 1, error**2 / 2, error - 0.5).mean()


def naive_neighbouring(student, teacher):
    """Every row among the eight others, by distances over the head's temperature."""
    logits = []
    for name, (_, z) in (("student", student), ("teacher", teacher)):
        scale = 3.0 * np.exp(PARAMS[name]["head"]["log_temperature"])
        others = [np.delete(z, i, 0) for i in range(9)]
        logits.append([-np.square(o - r).sum(1) / scale for o, r in zip(others, z, strict=True)])
    ours, theirs = (np.array(x) for x in logits)
    apart = softmax(theirs, 1) * (log_softmax(theirs, 1) - log_softmax(ours, 1))
    return 9.0 * apart.sum(1).mean()


NAIVE = {
    "softened": naive_softened,
    "neighbouring": naive_neighbouring,
    "related": naive_related,
}


@pytest.fixture(scope="module", params=MATCHES)
def found(request):
    """A match, and gradients and metrics with jit."""
    match = MATCHES[request.param]
    jitted = jax.jit(objective(match, weight=0.7, watch={"accuracy": accuracy}))
    return request.param, match, jitted(PARAMS["student"], EPISODE, KEY, STEP)


def close(a, b, rtol=1e-4, atol=1e-5):
    jax.tree.map(partial(np.testing.assert_allclose, rtol=rtol, atol=atol), a, b)


def test_the_metrics_are_those_of_numpy(found):
    name, _, (_, metrics) = found
    student, teacher = seen("student"), seen("teacher")
    assert metrics["apart"] == pytest.approx(NAIVE[name](student, teacher), rel=1e-4)
    assert metrics["loss"] == pytest.approx(-log_softmax(student[0], 1)[TARGETS > 0].mean(), 1e-4)
    assert metrics["accuracy"] == pytest.approx((student[0].argmax(1) == TARGETS.argmax(1)).mean())


def test_gradients_are_those_of_finite_differences(found):
    _, match, (gradients, _) = found
    flat, unflatten = jax.flatten_util.ravel_pytree(PARAMS["student"])

    @jax.jit
    def value(flat):
        seen = SEE["student"](unflatten(flat), EPISODE, KEY)
        taught = SEE["teacher"](PARAMS["teacher"], EPISODE, KEY)
        return cross_entropy(seen.logits, EPISODE.targets) + 0.7 * match(seen, taught, EPISODE)

    h = 1e-2
    steps = h * np.eye(len(flat), dtype=np.float32)
    differences = [(value(flat + s) - value(flat - s)) / (2 * h) for s in steps]
    close(jax.flatten_util.ravel_pytree(gradients)[0], np.array(differences), rtol=2e-2, atol=3e-3)


def test_it_is_the_same_without_jit_and_with_padding_rows_of_nan(found):
    _, match, (gradients, metrics) = found

    def pad(x, value):
        return jnp.concatenate([jnp.full((2, *x.shape[1:]), value, x.dtype), x])

    def more(inputs):
        return Inputs({m: pad(x, jnp.nan) for m, x in inputs.values.items()}, inputs.present)

    support, labels = more(EPISODE.support.inputs), pad(EPISODE.support.labels, 0.0)
    queries = more(EPISODE.query), pad(EPISODE.targets, 0.0)
    padded = Episode(Support(support, labels, Inputs({}, {})), *queries)
    plain = objective(match, weight=0.7)(PARAMS["student"], padded, KEY, STEP)
    close(plain, (gradients, {name: metrics[name] for name in ("loss", "apart")}))


def test_padding_rows_change_no_covariance_by_which_rows_are_told_apart():
    see = jax.jit(compared(embed_together(NETWORKS["student"]), mahalanobis()))
    params = metric(NETWORKS["student"], mahalanobis()).init(KEY, EPISODE.support)
    one_less = EPISODE.targets.at[-1].set(0)
    padded = see(params, EPISODE._replace(targets=one_less), KEY).neighbours
    shorter = jax.tree.map(lambda x: x[:-1], (EPISODE.query, EPISODE.targets))
    close(padded[:-1, :-1], see(params, Episode(EPISODE.support, *shorter), KEY).neighbours)


@pytest.mark.parametrize("none", [-np.inf, np.finfo(np.float32).min])
def test_classes_that_are_no_answer_to_one_of_both_are_not_compared(none):
    match = MATCHES["softened"]
    student, teacher = (jnp.array(RNG.normal(size=(QUERIES, WAYS)), jnp.float32) for _ in range(2))

    def apart(student, teacher, targets):
        episode = EPISODE._replace(targets=targets)
        return match(Seen(student, None, None), Seen(teacher, None, None), episode)

    by_student = jax.value_and_grad(apart)
    value, gradient = by_student(student[:, :2], teacher[:, :2], jnp.ones((QUERIES, 2)))
    for ours, theirs in [(none, 1.0), (1.0, none), (none, none)]:
        logits = student.at[:, 2].set(ours), teacher.at[:, 2].set(theirs)
        value_more, gradient_more = by_student(*logits, jnp.ones((QUERIES, 3)))
        np.testing.assert_allclose(value_more, value, rtol=1e-5)
        close(gradient_more, jnp.pad(gradient, [(0, 0), (0, 1)]))


def test_no_gradient_reaches_the_teacher(found):
    _, match, _ = found

    def apart(params):
        return objective(match, params)(PARAMS["student"], EPISODE, KEY, STEP)[1]["apart"]

    assert not any(np.any(g) for g in jax.tree.leaves(jax.grad(apart)(PARAMS["teacher"])))


def test_with_weight_zero_the_student_learns_as_without_a_teacher(found):
    _, match, (gradients, _) = found
    plain, _ = query_loss(LEARNERS["student"])(PARAMS["student"], EPISODE, KEY, STEP)
    close(objective(match, weight=0.0)(PARAMS["student"], EPISODE, KEY, STEP)[0], plain)
    assert np.abs(gradients["network"] - plain["network"]).max() > 1e-3


def test_a_student_like_its_teacher_has_nothing_to_learn_from_it(found):
    _, match, _ = found
    again = distillation(SEE["teacher"], SEE["teacher"], PARAMS["teacher"], match)
    plain, _ = query_loss(LEARNERS["teacher"])(PARAMS["teacher"], EPISODE, KEY, STEP)
    gradients, metrics = again(PARAMS["teacher"], EPISODE, KEY, STEP)
    close(gradients, plain)
    assert metrics["apart"] == pytest.approx(0.0, abs=1e-6)


def test_relations_do_not_change_if_the_teacher_is_scaled_and_rows_may_be_equal():
    z = jnp.array(RNG.normal(size=(9, 3)), jnp.float32)
    student = Seen(None, z.at[1].set(z[0]), None)

    def apart(z, factor=1.0):
        teacher = Seen(None, factor * student.features, None)
        return related()(Seen(None, z, None), teacher, EPISODE)

    np.testing.assert_allclose(apart(z, 5.0), apart(z), rtol=1e-5)
    assert np.isfinite(jax.grad(apart)(student.features)).all()
    assert np.isfinite(jax.grad(apart)(jnp.zeros((9, 3)))).all()


def test_any_learner_can_teach_and_is_told_that_it_does_not_train():
    def learner(expected: bool) -> Learner:
        def adapt(params, support, *, key, train):
            assert train is expected
            return LEARNERS["student"].adapt(params, support)

        def predict(params, task, query, *, key, train):
            assert train is expected
            return LEARNERS["student"].predict(params, task, query)

        return Learner(None, adapt, predict)

    sides = predicted(learner(True), train=True), predicted(learner(False), train=False)
    twin = distillation(*sides, PARAMS["student"], MATCHES["softened"])
    gradients, metrics = twin(PARAMS["student"], EPISODE, KEY, STEP)
    plain, _ = query_loss(LEARNERS["student"])(PARAMS["student"], EPISODE, KEY, STEP)
    close(gradients, plain)
    assert metrics["apart"] == pytest.approx(0.0, abs=1e-6)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="temperature must be positive, got 0"):
        softened(temperature=0.0)
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        objective(MATCHES["related"], weight=-1.0)
