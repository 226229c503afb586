"""Every fusion on spoken Arabic commands beside icons, queries by other speakers.

Claim: for the training seeds 0, 1 and 2 attention and concatenation are above speech alone by at
least 4 points in 5-way 1-shot (--config.compare=concat,audio,image); see RESULTS.md. No 20 ways:
there are 40 classes for three splits.
Cost: about two minutes a model on one CPU core.
Command: python -m experiments.train --config=experiments/configs/speech_fusions.py
    --config.data.path=FOLDER/asc_icons.npz --config.seed=0
"""

from ml_collections import ConfigDict

from experiments.configs import emoji, emoji_fusions


def get_config() -> ConfigDict:
    """Twenty commands for training, ten for validation and ten for the test."""
    config = emoji.get_config()
    config.data.update(name="speech_commands", path="asc_icons.npz", splits="halves")
    config.update(modalities="audio,image")
    config.compare = emoji_fusions.compared(config)
    config.train.update(ways=10, queries=5, steps=400, chunk=100, learning_rate=1e-3)
    config.validation.update(ways=5, queries=5)
    config.test.update(settings=((5, 1), (5, 5)), queries=5)
    return config
