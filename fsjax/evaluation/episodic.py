"""Evaluation over many episodes, each drawn from its own key."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from fsjax.evaluation.figures import Figure, accuracy, negative_log_likelihood, reliability, told
from fsjax.types import Array, Episode, Key, Learner, Params, Sample

FIGURES = (accuracy, negative_log_likelihood, reliability)


def episode_logits(learner: Learner, params: Params, episode: Episode) -> Array:
    """Adapts to the support set of an episode and predicts its queries: -> logits [Q, W]."""
    task = learner.adapt(params, episode.support)
    return learner.predict(params, task, episode.query)


@partial(jax.jit, static_argnames=("learner", "num_episodes", "batch", "figures", "mesh"))
def evaluate(
    learner: Learner,
    params: Params,
    key: Key,
    *,
    sample: Sample,
    num_episodes: int,
    batch: int = 16,
    figures: tuple[Figure, ...] = FIGURES,
    mesh: Mesh | None = None,
) -> dict[str, Array]:
    """Figures of a learner over episodes; episode i is drawn from fold_in(key, i).

    The same key, sampler and number give every learner the same episodes. Logits that are almost
    minus infinity, as of a class without rows, are no answer to any figure.

    Args:
      learner: the few-shot method.
      params: its parameters.
      key: of the episodes.
      sample: key -> one Episode, without a task axis; a `jax.tree_util.Partial`, as the functions
        of `fsjax.episodes.sample` give it, since what it holds is an argument of the program.
      num_episodes: E.
      batch: episodes computed at once, by each device; it does not change which are drawn.
      figures: functions of logits and targets, each with a name of its own.
      mesh: of one axis, over whose devices the episodes are spread; the device that has the
        arguments computes all of them unless given.

    Returns:
      {name of the function: [E, ...]}.

    Raises:
      ValueError: if two figures have the same name.
    """
    names = [f.__name__ for f in figures]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two figures are called {twice[0]}: define each by a name of its own")
    axes = () if mesh is None else mesh.axis_names

    def each(numbers: Array, params: Params, key: Key, sample: Sample) -> dict[str, Array]:
        # Inner gradients of parameters that are the same everywhere would be summed over devices.
        params = jax.tree.map(lambda x: jax.lax.pcast(x, axes, to="varying"), params)

        def one(i: Array) -> dict[str, Array]:
            episode = sample(jax.random.fold_in(key, i))
            logits = told(episode_logits(learner, params, episode))
            return {f.__name__: f(logits, episode.targets) for f in figures}

        return jax.lax.map(one, numbers, batch_size=min(batch, len(numbers)))

    devices = 1 if mesh is None else mesh.size
    if mesh is not None:
        specs = {"in_specs": (P(*axes), P(), P(), P()), "out_specs": P(*axes)}
        each = jax.shard_map(each, mesh=mesh, **specs)
    # Some are drawn beyond the last, so that every device has as many.
    numbers = jnp.arange(-(-num_episodes // devices) * devices)
    found = each(numbers, params, key, sample)
    if mesh is not None:  # every host is to read all of them
        found = jax.lax.with_sharding_constraint(found, NamedSharding(mesh, P()))
    return jax.tree.map(lambda x: x[:num_episodes], found)


def is_transductive(
    learner: Learner,
    params: Params,
    episode: Episode,
    *,
    jit: Callable[[Callable], Callable] = jax.jit,
) -> bool:
    """Whether the prediction for a query depends on the other queries, by trying it.

    Args:
      learner: the few-shot method.
      params: its parameters.
      episode: one with two queries or more.
      jit: compiles what is run once.

    Returns:
      True if replacing the second half of the queries changes a logit of the first half.
    """
    half = episode.targets.shape[0] // 2
    if half == 0:
        raise ValueError("an episode of one query cannot tell whether queries share information")

    @jit
    def differ(params: Params, episode: Episode) -> Array:
        task = learner.adapt(params, episode.support)
        queries = jax.tree.map(lambda x: jnp.stack([x, x.at[half:].set(x[:1])]), episode.query)
        # A loop, which is compiled once where two calls would be twice.
        both = jax.lax.map(lambda query: learner.predict(params, task, query), queries)
        logits, others = both[:, :half]
        # Minus infinities, and logits that stand for them, are equal and no measure of the others.
        changed = logits != others
        sizes = jnp.where(changed & jnp.isfinite(logits), jnp.abs(logits), 0.0)
        return (changed & (jnp.abs(logits - others) > 1e-4 * (1.0 + sizes.max()))).any()

    return bool(differ(params, episode))
