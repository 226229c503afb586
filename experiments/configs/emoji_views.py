"""Balance of modalities: fusions by the objective views beside the same by all modalities alone.

Claim and cost: see the README.
Command: python -m experiments.train --config=experiments/configs/emoji_views.py --config.seed=0
"""

from ml_collections import ConfigDict

from experiments.configs import emoji


def get_config() -> ConfigDict:
    """Each fusion with and without the losses of each modality alone, and the best of these."""
    config = emoji.get_config()
    config.compare = "attention+views,sum,sum+views,late,late+views,image"
    return config
