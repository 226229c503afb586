"""All heads on the emoji set, image, text and speech fused by attention.

Not measured yet.
Command: python -m experiments.train --config=experiments/configs/emoji_heads.py
"""

from ml_collections import ConfigDict

from experiments import build
from experiments.configs import emoji


def get_config() -> ConfigDict:
    """The default configuration, compared by heads."""
    config = emoji.get_config()
    config.test.update(calibrate=True, unknown=5)
    config.compare = ",".join(name for name in build.HEADS if name != config.head)
    return config
