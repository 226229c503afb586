"""From a config to what makes synthetic rows, and to what judges them."""

from collections.abc import Callable
from functools import partial
from typing import Any

from ml_collections import ConfigDict

from experiments.names import pick
from fsjax import generators
from fsjax.encoders.convolution import conv3x3_stride2
from fsjax.encoders.layers import Conv3x3
from fsjax.generators import features
from fsjax.generators.pictures import PictureCritic, PictureGenerator
from fsjax.learners.hallucinate import (
    Describe,
    Weights,
    by_both,
    by_prototype,
    by_side,
    equal_weights,
    missing_weights,
)
from fsjax.objectives import ranking
from fsjax.types import Autoencoder, Critic, Generator

_HALVE = partial(Conv3x3, convolve=conv3x3_stride2)
GENERATORS: dict[str, Callable[[], Generator | Autoencoder]] = {
    "wgan": lambda: generators.generator(features.FeatureGenerator()),
    "vae": lambda: generators.autoencoder(features.FeatureEncoder(), features.FeatureGenerator()),
    "wgan_pictures": lambda: generators.generator(PictureGenerator(Conv3x3, _HALVE)),
}
CRITICS: dict[str, Callable[[], Critic]] = {
    "wgan": lambda: generators.critic(features.FeatureCritic()),
    "wgan_pictures": lambda: generators.critic(PictureCritic(_HALVE)),
}
OF_PICTURES = ("wgan_pictures",)  # generators of the learner pictures, and of no other
WEIGHTS: dict[str, Callable[[ConfigDict], Weights]] = {
    "equal": lambda settings: equal_weights(settings.rows, total=settings.weight),
    "missing": lambda settings: missing_weights(settings.rows),
}
CONDITIONS: dict[str, Callable[[str], Describe]] = {
    "prototype": lambda side: by_prototype,
    "side": by_side,
    "both": by_both,
}
# Triplets that count, where a head is trained by them.
TRIPLETS = {
    "all": ranking.all_triplets,
    "hard": ranking.hard_triplets,
    "semi_hard": ranking.semi_hard_triplets,
}


def triplets(config: ConfigDict) -> ranking.Mine:
    """Which triplets a config wants to count."""
    return pick(TRIPLETS, config.generation.triplets, "generation.triplets")


def critic(config: ConfigDict) -> Critic:
    """What judges the rows of the generator that a config names."""
    return pick(CRITICS, config.generation.generator, "generation.generator")()


def generator(config: ConfigDict) -> Generator | Autoencoder:
    """The generator that a config names.

    Raises:
      ValueError: if it makes what the learner does not take.
    """
    name, of_pictures = config.generation.generator, config.learner == "pictures"
    make = pick(GENERATORS, name, "generation.generator")
    fits = [other for other in GENERATORS if (other in OF_PICTURES) == of_pictures]
    if name not in fits:
        raise ValueError(
            f"config.generation.generator={name!r} makes no rows for config.learner="
            f"{config.learner!r}: take {' or '.join(fits)}"
        )
    return make()


def imputation() -> Generator:
    """What fills in features: the mean of those that the rest of a row allows, without noise."""
    return generators.generator(features.FeatureGenerator(), noise=0)


def synthetic(config: ConfigDict) -> dict[str, Any]:
    """How a learner uses its generator."""
    settings = config.generation
    return {
        "weights": pick(WEIGHTS, settings.weights, "generation.weights")(settings),
        "describe": _describe(config),
        "share": settings.share,
    }


def _describe(config: ConfigDict) -> Describe:
    settings = config.generation
    if settings.condition != "prototype" and not settings.side:
        raise ValueError(
            f"config.generation.condition={settings.condition!r} wants class descriptions: "
            "name them in config.generation.side, words for emoji"
        )
    return pick(CONDITIONS, settings.condition, "generation.condition")(settings.side)
