"""Where the last layer of a gradient-based learner starts: heads that its inner loop adapts."""

import jax
import jax.numpy as jnp

from fsjax.heads.distances import squared_euclidean
from fsjax.heads.prototype import class_means, typical_distance
from fsjax.types import Array, Head, Params, Task


def _score(params: Params, layer: Task, z: Array) -> Array:
    return z @ layer["kernel"] + layer["bias"]


def learned_layer() -> Head:
    """A linear layer whose start is learned, for the number of ways that `init` sees (Finn et al.
    2017, https://arxiv.org/abs/1703.03400).

    Returns:
      The head; its task is {"kernel": [D, W], "bias": [W]}, its parameters are one. Fitting it
      to another number of ways raises ValueError.
    """

    def init(key, z, y):
        kernel = jax.random.normal(key, (z.shape[1], y.shape[1]), z.dtype)
        return {"kernel": kernel / jnp.sqrt(z.shape[1]), "bias": jnp.zeros(y.shape[1], z.dtype)}

    def fit(params, z, y):
        ways = len(params["bias"])
        if ways != y.shape[1]:
            raise ValueError(
                f"the last layer was learned for {ways} ways and is asked for {y.shape[1]}: train "
                "it with as many ways as it is tested with, or start it from prototypes"
            )
        return params

    return Head(init, fit, _score)


def prototype_layer(*, temperature: float = 0.1) -> Head:
    """A linear layer that starts as the nearest class mean, of any number of ways: ProtoMAML
    (Triantafillou et al. 2020, https://arxiv.org/abs/1903.03096).

    -|z - c|^2 = 2 c z - |c|^2 - |z|^2, of which the last is the same for all classes.

    Args:
      temperature: as of `fsjax.heads.prototype`.

    Returns:
      The head; its task is {"kernel": [D, W], "bias": [W]}.

    Raises:
      ValueError: if the temperature is not positive.
    """
    if temperature <= 0:
        raise ValueError(f"the temperature must be positive, got {temperature}")

    def init(key, z, y):
        typical = typical_distance(squared_euclidean, z, y)
        return {"log_temperature": jnp.log(temperature * typical)}

    def fit(params, z, y):
        means, scale = class_means(z, y), jnp.exp(-params["log_temperature"])
        return {"kernel": 2 * scale * means.T, "bias": -scale * jnp.square(means).sum(-1)}

    return Head(init, fit, _score)
