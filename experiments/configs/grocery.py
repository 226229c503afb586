"""Groceries photographed in shops, through a frozen image encoder."""

from ml_collections import ConfigDict

from experiments.configs import emoji


def get_config() -> ConfigDict:
    """A linear map of features that stay as they are, by prototypes; beside the features alone."""
    config = emoji.get_config()
    # By digest there were 8 classes for validation and 17 for test, too few for 20 ways.
    config.data.update(name="grocery", path="grocery112.npz", splits="halves")
    config.update(modalities="image", fusion="plain", compare="raw")
    config.frozen = "image:efficientnet_lite0,description:minilm"
    config.generation.side = "description"
    config.encoders.image = "linear"
    config.train.update(steps=400, chunk=100, learning_rate=1e-3, queries=5)
    config.validation.update(ways=20, queries=5)
    config.test.update(settings=((5, 1), (5, 5), (20, 1), (20, 5)), queries=5)
    config.apart = False
    return config
