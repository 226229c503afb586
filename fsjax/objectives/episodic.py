"""Episodic training: adapt to the support set, learn from the loss on the queries."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from fsjax.objectives.answers import Loss, adapted, answer_loss
from fsjax.objectives.losses import cross_entropy
from fsjax.types import Array, Episode, Key, Learner, Objective, Params, Step

Vary = Callable[[Any], Any]  # a pytree that is the same on all devices -> one that need not be


def query_loss(
    learner: Learner, loss: Loss = cross_entropy, watch: Mapping[str, Loss] | None = None
) -> Objective:
    """The loss of predictions for the queries of one episode (Vinyals et al. 2016,
    https://arxiv.org/abs/1606.04080).

    Args:
      learner: the few-shot method.
      loss: of logits and targets.
      watch: further figures of logits and targets, reported and not optimised.

    Returns:
      An objective over an Episode without a task axis; its metrics are "loss" and those watched.
    """
    return answer_loss(adapted(learner), loss, watch)


def over_tasks(
    objective: Objective, *, block: int | None = None, mesh: Mesh | None = None
) -> Objective:
    """An objective of one task as the mean over a batch with a leading axis [T].

    Args:
      objective: of one task.
      block: tasks computed at once, one block after another, their gradients added up: the memory
        of so many tasks, however many there are. All of them unless given.
      mesh: of one axis, over whose devices the tasks are spread; what a task draws and gives does
        not depend on it. Their number has to divide T.
    """

    def mean(params: Params, tasks: tuple[Episode, Array], step: Step, vary: Vary = lambda x: x):
        def one(task: tuple[Episode, Key]):
            return objective(params, *task, step)

        number = _tasks(tasks)
        if block is None or block >= number:
            return jax.tree.map(lambda x: x.mean(0), jax.vmap(one)(tasks))
        total = _sum_in_blocks(one, tasks, block, vary)
        return jax.tree.map(lambda x: x / number, total)

    on_all = mean if mesh is None else _spread(mean, mesh)

    def batched(params: Params, batch: Episode, key: Key, step: Step):
        keys = jax.random.split(key, _tasks(batch))
        return on_all(params, (batch, keys), step)

    return batched


def over_rows(objective: Objective, mesh: Mesh) -> Objective:
    """An objective whose network is `fsjax.encoders.spread.spread`, over the devices of a mesh.

    Each device computes the loss L of all rows from the features z of all. What it is handed back
    for those of its own rows is the sum of what all n devices have for them, n dL/dz; for what they
    all compute it is their own dL. So the mean over devices of gradients by their own parameters,
    each through its own rows alone, is the gradient.

    Args:
      objective: of any batch.
      mesh: of the one axis "rows".
    """
    (axis,) = mesh.axis_names

    def local(params: Params, batch: Any, key: Key, step: Step):
        vary = partial(jax.tree.map, lambda x: lax.pcast(x, axis, to="varying"))
        return lax.pmean(objective(vary(params), batch, key, step), axis)

    return jax.shard_map(local, mesh=mesh, in_specs=P(), out_specs=P())


def _tasks(batch: Any) -> int:
    return jax.tree.leaves(batch)[0].shape[0]


def _sum_in_blocks(
    one: Callable[[Any], Any], tasks: tuple[Episode, Array], block: int, vary: Vary
) -> Any:
    """What `one` makes of tasks [T], added up; nothing of one block is kept for the next but sums.

    Args:
      one: of a task.
      tasks: [T, ...].
      block: tasks computed at once.
      vary: makes what is the same on all devices differ by device, for the sums to begin with.
    """

    def add(total: Any, part: Any) -> tuple[Any, None]:
        found = jax.vmap(one)(part)
        return jax.tree.map(lambda t, x: t + x.sum(0), total, found), None

    shapes = jax.eval_shape(one, jax.tree.map(lambda x: x[0], tasks))
    total = vary(jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes))
    blocks = _tasks(tasks) // block
    whole = jax.tree.map(lambda x: x[: blocks * block], tasks)
    whole = jax.tree.map(lambda x: x.reshape(blocks, block, *x.shape[1:]), whole)
    total, _ = lax.scan(add, total, whole)
    if _tasks(tasks) % block:
        total, _ = add(total, jax.tree.map(lambda x: x[blocks * block :], tasks))
    return total


def _spread(mean: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    (axis,) = mesh.axis_names

    def local(params: Params, tasks: tuple[Episode, Array], step: Step):
        # Gradients of parameters that are the same everywhere would be summed task by task.
        vary = partial(jax.tree.map, lambda x: lax.pcast(x, axis, to="varying"))
        return lax.pmean(mean(vary(params), tasks, step, vary), axis)

    return jax.shard_map(local, mesh=mesh, in_specs=(P(), P(axis), P()), out_specs=P())
