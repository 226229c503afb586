"""Recipes of transfer on groceries: features that stay as they are, and what is made of them.

Claim: with one and two photos of a product a learned map is the best of them, 0.9 to 1.4 points
better in 1-shot with the description as an extra shot, over three seeds; with eight, logistic
regression on the features as they are, 89.4 in 20-way beside 87.3. See RESULTS.md.
Cost: 20 minutes of one CPU core, nine models in eight settings, once photos are embedded.
Command: python -m experiments.train --config=experiments/configs/grocery_recipes.py
    --config.data.path=FOLDER/grocery112.npz
"""

from ml_collections import ConfigDict

from experiments.configs import grocery


def get_config() -> ConfigDict:
    """A learned map; beside it with descriptions as an extra shot, other ways to be told them,
    linear probes and the features alone.
    """
    config = grocery.get_config()
    config.frozen = "image:efficientnet_lite0,description:minilm"
    config.side = "description"
    config.generation.side = ""
    # A description gets a linear map of its own to the features of photos.
    config.encoders.tabular = "raw"
    config.compare = "raw,described,am3,tip_adapter,supervised,raw+logistic,raw+ridge,raw+cosine"
    config.test.settings = tuple((ways, shots) for ways in (5, 20) for shots in (1, 2, 4, 8))
    return config
