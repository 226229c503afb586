"""All heads on the emoji set, image, text and speech fused by attention.

Claim: after 400 steps matching, ridge, logistic, cosine and mahalanobis are at 90.2 to 90.6 in
5-way 1-shot, the prototype at 89.9, each +- 0.7 or less; soft k-means, which is transductive, at
92.5. All are in RESULTS.md.
Cost: about 75 minutes on one CPU core beside other work, thirteen models one after another.
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
