"""Groceries photographed in shops, through a frozen image encoder.

Claim: on 20 products never seen, a linear map of the features of EfficientNet-Lite0, learned by
prototypes on 40 other products, is above the features as they are by 5.9 +- 0.7 points in 5-way
1-shot, 1.6 +- 0.4 in 5-way 5-shot, 6.2 +- 0.3 in 20-way 1-shot and 1.8 +- 0.3 in 20-way 5-shot.
Cost: 8 minutes on a core shared with much else, of which most go to embedding 5421 photos, once.
Command: python -m experiments.train --config=experiments/configs/grocery.py
    --config.data.path=FOLDER/grocery112.npz
"""

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
