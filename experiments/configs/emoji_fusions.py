"""Every fusion on emoji, beside each modality alone.

Claim: for the training seeds 0, 1 and 2, after 400 steps, every fusion but gated and low_rank is
above the image alone in 5-way and 20-way 1-shot, by its paired interval; see RESULTS.md.
Cost: 29 minutes on a CPU core of its own, fourteen models one after another.
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
