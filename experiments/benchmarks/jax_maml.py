"""The same outer gradient by fsjax, and by the same network on `lax.conv` under `vmap`."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from experiments import build
from experiments.configs import omniglot_maml
from fsjax.learners.gradient import constant, inner_loop
from fsjax.objectives.episodic import over_tasks, query_loss
from fsjax.types import Array, Episode, Inputs, Params, Support


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


def task_gradient(params: Params, task: tuple[Array, ...], *, steps: int) -> Params:
    """As of `torch_maml`, on the convolution that JAX has."""
    x, y, query, target = task

    def outer(params: Params) -> Array:
        sizes = constant(0.4, steps=steps).of({}, params)
        adapted = inner_loop(lambda p, i: _loss(p, x, y), params, sizes).params
        return _loss(adapted, query, target)

    return jax.grad(outer)(params)


def plain(tasks: tuple, *, features: int, ways: int, steps: int) -> Callable[[], object]:
    """The same as `ours` by `task_gradient`, tasks by vmap."""
    batch, params = tuple(map(jnp.asarray, tasks)), _init(features, ways)

    @jax.jit
    def gradient(params: Params) -> Params:
        slopes = jax.vmap(partial(task_gradient, steps=steps), (None, 0))(params, batch)
        return jax.tree.map(lambda s: s.mean(0), slopes)

    return lambda: gradient(params)


def _init(features: int, ways: int) -> Params:
    params, keys = {}, jax.random.split(jax.random.key(0), 5)
    for block in range(4):
        shape = (3, 3, features if block else 1, features)
        params[f"kernel{block}"] = jax.nn.initializers.he_normal()(keys[block], shape)
        params[f"scale{block}"], params[f"bias{block}"] = jnp.ones(features), jnp.zeros(features)
    last = jax.random.normal(keys[4], (features, ways)) / features**0.5
    return params | {"kernel": last, "bias": jnp.zeros(ways)}


def _loss(params: Params, x: Array, y: Array) -> Array:
    for block in range(4):
        w, layout = params[f"kernel{block}"], ("NHWC", "HWIO", "NHWC")
        x = lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=layout)
        mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
        x = (x - mean) * lax.rsqrt(var + 1e-5) * params[f"scale{block}"] + params[f"bias{block}"]
        square = (1, 2, 2, 1)
        x = lax.reduce_window(jax.nn.relu(x), -jnp.inf, lax.max, square, square, "VALID")
    logits = x.reshape(len(x), -1) @ params["kernel"] + params["bias"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
