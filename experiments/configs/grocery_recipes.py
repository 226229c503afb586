"""Recipes of transfer on groceries: features that stay as they are, and what is made of them.

Claim: none yet.
Cost: not measured yet.
Command: python -m experiments.train --config=experiments/configs/grocery_recipes.py
    --config.data.path=FOLDER/grocery112.npz
"""

from ml_collections import ConfigDict

from experiments.configs import grocery


def get_config() -> ConfigDict:
    """Descriptions as an extra shot of a learned map; beside it without them, other ways to be told
    them, linear probes and the features alone.
    """
    config = grocery.get_config()
    config.frozen = "image:efficientnet_lite0,description:minilm"
    config.update(learner="described", side="description")
    config.generation.side = ""
    # A description gets a linear map of its own to the features of photos.
    config.encoders.update(image="linear_unit", tabular="raw")
    config.compare = "prototype,raw,am3,raw+logistic,raw+ridge,raw+cosine,supervised,tip_adapter"
    # All training classes at once, and slowly: what is best on validation comes early.
    config.train.update(ways=40, queries=5, steps=400, chunk=100, learning_rate=3e-4)
    config.validation.episodes = 400
    config.test.settings = tuple((ways, shots) for ways in (5, 20) for shots in (1, 2, 4, 8))
    return config
