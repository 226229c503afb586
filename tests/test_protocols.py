"""What every learner promises, over all combinations of parts that a config can name."""

from functools import partial
from itertools import combinations, product
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from ml_collections import ConfigDict

from experiments import build, compiled
from experiments.build import generation
from experiments.configs.emoji import get_config
from fsjax.encoders.layers import one_token
from fsjax.evaluation.episodic import evaluate, is_transductive
from fsjax.objectives.answers import adapted, fitted
from fsjax.objectives.distillation import distillation, predicted, softened
from fsjax.objectives.episodic import over_tasks, query_loss
from fsjax.objectives.losses import cross_entropy
from fsjax.types import Episode, Inputs, Support

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
PARTS = {
    "learner": build.LEARNERS,
    "head": build.HEADS,
    "distance": build.DISTANCES,
    "fusion": build.FUSIONS,
    "norm": build.NORMS,
}
DEFAULTS = {part: next(iter(names)) for part, names in PARTS.items()}
SHARED = [part for part in PARTS if part not in ("head", "learner")]
# Every head and learner by itself, and every pair of the other parts with some fusions: all
# combinations would be thousands.
PAIRED = PARTS | {"fusion": ("attention", "concat", "plain")}
COMBINATIONS = [DEFAULTS | {"fusion": "concat", "head": head} for head in build.HEADS] + [
    DEFAULTS | {one: a, other: b}
    for one, other in combinations(SHARED, 2)
    for a, b in product(PAIRED[one], PAIRED[other])
    if DEFAULTS[one] != a and DEFAULTS[other] != b
]
COMBINATIONS += [DEFAULTS | {"fusion": name, "norm": "group"} for name in build.LATE]
COMBINATIONS += [
    DEFAULTS | {"fusion": "concat", "learner": name, "norm": norm}
    for name in build.LEARNERS
    for norm in (["group", "support"] if name == "maml" else ["group"])
    if name != "metric"
]
TRANSDUCTIVE = {"soft_kmeans", "propagation"}  # heads
FIXED_WAYS = {
    "maml",
    "anil",
    "boil",
    "meta_sgd",
    "maml_pp",
    "reptile",
    "imaml",
}  # learners whose last layer is learned
WAYS, SUPPORTS, PADDING, QUERIES = 3, 4, 2, 6


class Tiny(nn.Module):
    """A linear map and a norm, wide enough for groups."""

    norm: type[nn.Module]

    @nn.compact
    def __call__(self, x, weight, *, train=False):
        return one_token(self.norm()(nn.Dense(64)(x), weight, train=train))


def rows(number: int) -> Inputs:
    values = {m: RNG.normal(1.0, 2.0, size=(number, 5)).astype(np.float32) for m in ("a", "b")}
    present = {"a": np.ones(number), "b": np.arange(number) % 3 > 0}
    return Inputs(values, {m: x.astype(np.float32) for m, x in present.items()})


def support_of(inputs: Inputs, labels) -> Support:
    labels = np.asarray(labels, np.float32)
    words = np.sin(np.arange(3 * labels.shape[1], dtype=np.float32)).reshape(-1, 3)
    side = Inputs({"words": words}, {"words": np.ones(len(words), np.float32)})
    return Support(inputs, labels, side)


LABELS = np.eye(WAYS)[[0, 1, 2, 1]]
SUPPORT = support_of(rows(SUPPORTS), LABELS)
QUERY = rows(QUERIES)
TARGETS = np.eye(WAYS, dtype=np.float32)[[0, 1, 2, 2, 0, 1]]
FIRST = support_of(rows(6), np.eye(2)[[0, 1] * 3])  # what parameters are made for: other ways
ALIKE = support_of(rows(6), np.eye(WAYS)[[0, 1, 2] * 2])
ORDER = np.array([3, 0, 5, 1, 4, 2])


def padded(labels) -> Support:
    """Rows of NaN in front, so that the others change their places."""
    rows, present = SUPPORT.inputs
    edge = ((PADDING, 0), (0, 0))
    rows = {m: np.pad(x, edge, constant_values=np.nan) for m, x in rows.items()}
    present = {m: np.pad(x, (PADDING, 0), constant_values=1) for m, x in present.items()}
    return support_of(Inputs(rows, present), np.pad(labels, edge))


def half_replaced(query: Inputs) -> Inputs:
    half = np.arange(QUERIES) * (np.arange(QUERIES) < QUERIES // 2)
    return jax.tree.map(lambda x: x[half], query)


def config_of(names: dict[str, str]) -> ConfigDict:
    config = get_config()
    config.modalities = "a" if names["learner"] == "pictures" else "a,b"
    config.update(names)
    with config.unlocked():
        config.encoders = {"a": "tiny", "b": "mlp", "tabular": "mlp"}
        config.side = "words"
    return config


def model_of(names: dict[str, str]) -> build.Model:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(build.ENCODERS, "tiny", Tiny)
        if names["learner"] == "pictures":  # rows of numbers stand for them
            patch.setattr(generation, "OF_PICTURES", ("wgan",))
        return build.model(config_of(names))


def logits_of(learner, params, support, query, **options):
    task = learner.adapt(params, support, **options)
    return learner.predict(params, task, query, **options)


class Case(NamedTuple):
    learner: str
    norm: str
    transductive: bool
    model: build.Model
    logits: jax.Array  # [Q, W]
    padded: jax.Array
    soft: jax.Array
    permuted: jax.Array
    replaced: jax.Array
    gradients: dict  # in training, with padding


@pytest.fixture(scope="module", params=COMBINATIONS, ids=lambda names: "-".join(names.values()))
def case(request):
    """One learner and its answers.

    Metric learners without jit: operations compiled for one serve the others. An inner loop is
    compiled in any case.
    """
    model = model_of(request.param)
    learner, metric = model.learner, request.param["learner"] == "metric"
    jit = (lambda f: f) if metric else compiled.once
    adapt, predict = jit(learner.adapt), jit(learner.predict)
    params = learner.init(KEY, ALIKE if request.param["learner"] in FIXED_WAYS else FIRST)
    task = adapt(params, SUPPORT)

    config = config_of(request.param)
    embed = build.embed_all(config, model.network)
    answer = fitted(embed, build.head(config)) if metric else adapted(learner)

    def loss(params):
        return cross_entropy(answer(params, Episode(padded(LABELS), QUERY, TARGETS), KEY), TARGETS)

    return Case(
        learner=request.param["learner"],
        norm=request.param["norm"],
        transductive=request.param["norm"] == "episode" or request.param["head"] in TRANSDUCTIVE,
        model=model,
        logits=predict(params, task, QUERY),
        padded=predict(params, adapt(params, padded(LABELS)), QUERY),
        soft=predict(params, adapt(params, padded(0.7 * LABELS + 0.1)), QUERY),
        permuted=predict(params, task, jax.tree.map(lambda x: x[ORDER], QUERY)),
        replaced=predict(params, task, half_replaced(QUERY)),
        gradients=jit(jax.grad(loss))(params),
    )


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


def test_logits_have_one_column_for_each_way_also_if_parameters_were_made_for_others(case):
    assert case.logits.shape == (QUERIES, WAYS) and np.isfinite(case.logits).all()
    assert np.ptp(case.logits, axis=0).min() > 1e-3 and np.ptp(case.logits, axis=1).min() > 1e-3


def test_padding_rows_of_the_support_change_nothing_even_if_nan(case):
    close(case.padded, case.logits)


def test_soft_labels_are_taken_and_matter(case):
    assert np.isfinite(case.soft).all() and np.abs(case.soft - case.logits).max() > 1e-3


def test_queries_in_another_order_get_their_logits_in_that_order(case):
    close(case.permuted, case.logits[ORDER])


def test_a_query_depends_on_the_others_only_where_it_is_said_to(case):
    half = slice(QUERIES // 2)
    difference = np.abs(case.replaced[half] - case.logits[half]).max()
    assert (difference > 0.003) if case.transductive else (difference < 1e-3)


def test_gradients_through_adaptation_and_prediction_are_finite_also_with_padding(case):
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(case.gradients))
    assert np.any(case.gradients["network"]["encoders_a"]["Dense_0"]["kernel"])


def test_rows_are_encoded_once_only_where_they_do_not_share_statistics(case):
    shared = case.norm in build.ROWS_SHARE or case.learner not in build.EMBEDS
    assert (case.model.fast is None) == shared


CONCAT = DEFAULTS | {"fusion": "concat", "norm": "group"}


@jax.tree_util.Partial
def moved(key) -> Episode:
    """The same rows with other values for each key."""
    shift = jax.random.normal(key)
    inputs, query = (
        Inputs({m: x + shift for m, x in rows.values.items()}, rows.present)
        for rows in (SUPPORT.inputs, QUERY)
    )
    return Episode(SUPPORT._replace(inputs=inputs), query, jnp.asarray(TARGETS))


# By types, as no loop may begin with what devices share and end with what they do not.
@pytest.mark.parametrize("head", build.HEADS)
def test_test_episodes_can_be_spread_over_devices(head):
    learner, mesh = model_of(CONCAT | {"head": head}).learner, Mesh(jax.devices(), ("tasks",))
    params = jax.eval_shape(learner.init, KEY, ALIKE)
    figures = partial(evaluate, learner, sample=moved, num_episodes=4, mesh=mesh)
    assert jax.eval_shape(figures, params, KEY)["accuracy"].shape == (4,)


@pytest.mark.parametrize("name", build.LEARNERS)
def test_tasks_can_be_spread_over_devices(name):
    learner, mesh = model_of(CONCAT | {"learner": name}).learner, Mesh(jax.devices(), ("tasks",))
    params = jax.eval_shape(learner.init, KEY, ALIKE)
    tasks = jax.vmap(moved)(jax.random.split(KEY, 4))
    objective = over_tasks(query_loss(learner), mesh=mesh)
    gradients, _ = jax.eval_shape(objective, params, tasks, KEY, jnp.zeros((), jnp.int32))
    assert jax.tree.map(jnp.shape, gradients) == jax.tree.map(jnp.shape, params)


# One of each kind: those that take gradient steps are alike in this.
@pytest.mark.parametrize("name", ["metric", "am3", "hallucinate", "maml"])
def test_any_learner_can_teach_and_be_taught(name):
    learner = model_of(CONCAT | {"learner": name}).learner
    params = jax.eval_shape(learner.init, KEY, ALIKE)
    tasks = jax.vmap(moved)(jax.random.split(KEY, 2))
    sides = [predicted(learner, train=train) for train in (True, False)]

    def gradients(params, teacher):
        taught = distillation(*sides, teacher, softened(temperature=2.0))
        return over_tasks(taught)(params, tasks, KEY, jnp.zeros((), jnp.int32))[0]

    shapes = jax.eval_shape(gradients, params, params)
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, params)


SOME = {"learner": "metric", "head": "prototype", "distance": "euclidean", "fusion": "attention"}


@pytest.mark.parametrize("norm", ["support", "episode"])
def test_a_run_is_marked_as_transductive_for_the_norm_episode_alone(norm):
    learner = model_of(SOME | {"norm": norm}).learner
    params = jax.jit(learner.init)(KEY, FIRST)
    episode = Episode(SUPPORT, jax.tree.map(jnp.asarray, QUERY), TARGETS)
    assert is_transductive(learner, params, episode) == (norm == "episode")


def test_logits_are_the_same_with_jit():
    learner = model_of(SOME | {"norm": "support"}).learner
    params = jax.jit(learner.init)(KEY, FIRST)
    jitted = jax.jit(lambda params: logits_of(learner, params, SUPPORT, QUERY))(params)
    close(logits_of(learner, params, SUPPORT, QUERY), jitted)
