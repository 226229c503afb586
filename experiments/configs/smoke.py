"""The main job in two minutes: the same parts, a few steps. It claims nothing.

Command: python -m experiments.train --config=experiments/configs/smoke.py
"""

from ml_collections import ConfigDict

from experiments.configs import emoji


def get_config() -> ConfigDict:
    """The default configuration with few steps and few episodes."""
    config = emoji.get_config()
    config.train.update(steps=20, chunk=10)
    config.validation.episodes = 20
    config.test.episodes = 40
    return config
