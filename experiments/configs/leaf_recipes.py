"""Recipes of transfer on leaves: measured vectors as they are, and what is made of them.

Claim: maps learned by prototypes are the best of them: 92.5 to 94.1 in 20-way 1-shot beside 87.5
of the vectors as they are, over training seeds. See RESULTS.md.
Cost: 4 minutes on one CPU core.
Command: python -m experiments.train --config=experiments/configs/leaf_recipes.py
    --config.data.path=FOLDER/leaf64.npz
"""

from ml_collections import ConfigDict

from experiments.configs import leaf_triangular


def get_config() -> ConfigDict:
    """A learned map of each vector; beside it linear probes and the vectors alone."""
    config = leaf_triangular.get_config()
    config.update(learner="metric", head="prototype")
    config.encoders.tabular = "linear_unit"
    config.compare = "leave_one_out,supervised,raw+logistic,raw+ridge,raw+cosine,raw"
    config.train.update(ways=20, queries=5, steps=400, chunk=50)
    config.validation.update(ways=15, queries=5, episodes=400)
    # A leaf has ten rows of each class.
    config.test.update(queries=2)
    config.test.settings = tuple((ways, shots) for ways in (5, 20) for shots in (1, 2, 4, 8))
    return config
