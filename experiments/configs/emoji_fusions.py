"""Every fusion on emoji, beside each modality alone.

Command: python -m experiments.train --config=experiments/configs/emoji_fusions.py
    --config.seed=0
"""

from ml_collections import ConfigDict

from experiments import build
from experiments.configs import emoji


def compared(config: ConfigDict) -> str:
    """Every fusion but those that a config has or that is one alone, and each modality alone."""
    fusions = [name for name in build.FUSIONS if name not in (config.fusion, "plain")]
    return ",".join([*fusions, config.modalities])


def get_config() -> ConfigDict:
    """The default configuration, compared by fusions and modalities."""
    config = emoji.get_config()
    config.compare = compared(config)
    return config
