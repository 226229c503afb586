"""One outer gradient of second-order MAML by fsjax."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from ml_collections import ConfigDict

from experiments import build
from experiments.configs import omniglot_maml
from fsjax.objectives.episodic import over_tasks, query_loss
from fsjax.types import Array, Episode, Inputs, Support


def config(*, steps: int) -> ConfigDict:
    """MAML as configured for Omniglot, with the network of the comparison."""
    settings = omniglot_maml.get_config()
    settings.encoders.image = "conv4"
    settings.inner.update(rate=0.4, steps=steps)
    return settings


def ours(tasks: tuple, *, ways: int, steps: int, block: int | None) -> Callable[[], object]:
    """A function that computes one outer gradient of NumPy tasks (x, y, query, target).

    The tasks are spread over all devices; on a CPU those are as many as
    `jax.config.jax_num_cpu_devices` makes.
    """
    x, y, query, target = map(jnp.asarray, tasks)
    learner = build.model(config(steps=steps)).learner

    def inputs(x: Array) -> Inputs:
        return Inputs({"image": x}, {"image": jnp.ones(x.shape[:2])})

    support = Support(inputs(x), jax.nn.one_hot(y, ways), Inputs({}, {}))
    episodes = Episode(support, inputs(query), jax.nn.one_hot(target, ways))
    params = learner.init(jax.random.key(0), jax.tree.map(lambda x: x[0], support))
    mesh = Mesh(jax.devices(), ("tasks",))
    objective = jax.jit(over_tasks(query_loss(learner), block=block, mesh=mesh))
    return lambda: objective(params, episodes, jax.random.key(0), jnp.zeros((), jnp.int32))
