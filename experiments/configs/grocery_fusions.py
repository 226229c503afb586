"""Groceries by photo, and by photo beside product descriptions, through frozen encoders.

Claim and cost: none yet.
Command: python -m experiments.train --config=experiments/configs/grocery_fusions.py
    --config.data.path=FOLDER/grocery112.npz --config.seed=0
"""

from ml_collections import ConfigDict

from experiments.configs import grocery


def get_config() -> ConfigDict:
    """AM3 on a learned linear map of photos, beside the same map without descriptions."""
    config = grocery.get_config()
    config.update(learner="am3", side="description", compare="prototype,raw")
    return config
