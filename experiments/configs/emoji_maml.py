"""MAML on the emoji set, image, text and speech fused, against MAML on the image alone.

Not measured yet.
Command: python -m experiments.train --config=experiments/configs/emoji_maml.py
"""

from ml_collections import ConfigDict

from experiments.configs import emoji


def get_config() -> ConfigDict:
    """Five ways in training as in the test: the last layer is learned for as many."""
    config = emoji.get_config()
    config.update(learner="maml", norm="support", compare="image")
    config.inner.update(rate=0.3, steps=1, test_steps=3)
    config.train.update(steps=600, chunk=100, tasks=4, ways=5)
    config.validation.update(ways=5)
    config.test.update(settings=((5, 1),))
    return config
