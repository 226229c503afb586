"""Nearest class means of features at unit length."""

from fsjax.heads.distances import unit
from fsjax.heads.prototype import prototype
from fsjax.types import Head


def simpleshot(*, temperature: float = 0.1) -> Head:
    """Classifies by the nearest mean of the class's features at unit length, SimpleShot (Wang et
    al. 2019, https://arxiv.org/abs/1911.04623).

    Of the paper's transformations this is L2N; with features less the training set's mean, which
    `fsjax.fusion.centred.Centred` gives, it is CL2N. The network is trained with the objective
    `fsjax.objectives.supervised`.

    Args:
      temperature: as of `prototype`.

    Returns:
      The head; the task is the means [W, D].

    Raises:
      ValueError: if the temperature is not positive.
    """
    nearest = prototype(temperature=temperature)
    return Head(
        lambda key, z, y: nearest.init(key, unit(z), y),
        lambda params, z, y: nearest.fit(params, unit(z), y),
        lambda params, means, z: nearest.score(params, means, unit(z)),
    )
