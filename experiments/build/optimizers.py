"""From a config to the optimiser of a training."""

from functools import partial
from typing import Any

import jax
import optax
from ml_collections import ConfigDict
from optax.contrib import MuonDimensionNumbers, muon

from experiments.build.generation import generator
from experiments.build.learners import GENERATE
from experiments.names import pick
from fsjax.objectives.adversarial import in_turns
from fsjax.types import Array, Autoencoder, Params


def matrices(params: Params) -> Params:
    """Which parameters are matrices: for each the axes of its inputs and outputs, or None.

    They are the kernels of dense layers and of convolutions in the network, whose last axis are
    outputs, but for a first layer that sees one channel: its matrix has hardly any rows. Heads,
    inner-loop rates, norms, embeddings and kernels with an axis of attention heads are none.
    """

    def axes(path: tuple[Any, ...], x: Array) -> MuonDimensionNumbers | None:
        names = [getattr(key, "key", None) for key in path]
        kernel = names[0] == "network" and names[-1] == "kernel" and x.ndim in (2, 4)
        if not kernel or x.shape[-2] == 1:
            return None
        return MuonDimensionNumbers(tuple(range(x.ndim - 1)), x.ndim - 1)

    return jax.tree_util.tree_map_with_path(axes, params)


def _muon(rate: optax.Schedule) -> optax.GradientTransformation:
    # Updates of Adam's usual size (Liu et al. 2025, https://arxiv.org/abs/2502.16982, section 2.2),
    # so that one rate suits both.
    return muon(rate, consistent_rms=0.2, muon_weight_dimension_numbers=matrices)


OPTIMIZERS = {"adam": optax.adam, "muon": _muon}


def optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """The optimiser that a config names, with a rate that falls to zero along a cosine; a generator
    and its critic have Adam, in turns.
    """

    def falling(rate: float, turns: int = 1) -> optax.Schedule:
        return optax.cosine_decay_schedule(rate, max(config.train.steps // turns, 1))

    make = pick(OPTIMIZERS, config.train.optimizer, "train.optimizer")
    of_all = make(falling(config.train.learning_rate))
    if config.learner not in GENERATE:
        return of_all
    settings, alone = config.generation, isinstance(generator(config), Autoencoder)
    turns = 1 if alone else settings.critic_steps
    # The momenta of Gulrajani et al. 2017: what they descend on changes under their feet.
    adam = partial(optax.adam, b1=0.0, b2=0.9)
    of_generator = adam(falling(settings.learning_rate, turns))
    of_critic = adam(falling(settings.critic_rate))
    return in_turns(of_generator, of_critic, of_all, critic_steps=turns)
