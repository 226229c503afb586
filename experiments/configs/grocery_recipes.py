"""Recipes of transfer on groceries: features that stay as they are, and what is made of them.

Claim: on 20 products never seen, prototypes of a linear map of the features at unit length are
above the features as they are by 7.9 +- 0.6 points in 5-way 1-shot and 10.0 +- 0.3 in 20-way
1-shot. A description as one more shot adds 1.3 +- 0.4 and 1.0 +- 0.3, takes 0.7 +- 0.2 in 20-way
8-shot, and is worse on validation (62.7 against 65.9 in 20-way 1-shot), which chooses the first.
Of the other models: none yet.
Cost: not measured; photos are embedded once, of all else most is compiling.
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
