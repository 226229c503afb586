"""MAML on Omniglot, split of Vinyals et al., each rotation a class, 5-way 1-shot.

Not measured yet.
Command: python -m experiments.train --config=experiments/configs/omniglot_maml.py
    --config.data.path=FOLDER --config.data.splits=FOLDER/omniglot_vinyals_split.json
"""

from ml_collections import ConfigDict

from experiments.configs import omniglot


def get_config() -> ConfigDict:
    """The network of stride 2, one inner step and batches of 32 tasks, as in Finn et al. 2017."""
    config = omniglot.get_config()
    config.update(learner="maml", norm="episode")  # transductive: statistics of the queries
    config.encoders.image = "conv4_strided"
    config.inner.update(rate=0.4, steps=1, test_steps=3)
    config.train.update(steps=12000, chunk=1000, tasks=16, ways=5, queries=5)
    config.validation.update(ways=5)
    config.test.update(settings=((5, 1),))
    return config
