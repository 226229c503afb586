"""Recipes of transfer on groceries: features that stay as they are, and what is made of them.

Claim: that of grocery.py for the learned map, and of grocery_fusions.py for descriptions; of the
other models none, as the run was stopped before them.
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
