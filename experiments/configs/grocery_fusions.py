"""Photos of groceries beside what describes each product, through frozen encoders.

Claim and cost: see the README.
Command: python -m experiments.train --config=experiments/configs/grocery_fusions.py:icon
    --config.data.path=FOLDER/grocery112.npz --config.seed=0
"""

from ml_collections import ConfigDict

from experiments.configs import grocery_recipes
from experiments.names import pick

# Kind of description -> the frozen encoder that it is seen through.
SIDES = {"description": "minilm", "icon": "efficientnet_lite0"}


def get_config(side: str = "description") -> ConfigDict:
    """A product's text, or the studio photo of it, as one more support row of a learned map; beside
    the map without it and the features alone.
    """
    config = grocery_recipes.get_config()
    config.frozen = f"image:efficientnet_lite0,{side}:{pick(SIDES, side, 'side')}"
    config.update(learner="described", side=side, compare="prototype,raw")
    config.test.settings = ((5, 1), (5, 5), (20, 1))
    return config
