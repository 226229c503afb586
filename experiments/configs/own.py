"""One's own CSV: a row for each thing, with columns of images, sounds, texts and numbers.

Claim: none; it is where to begin with data of one's own: CSV, or folder, npz or tfds by
config.data.name. The learner is the main job's, numbers are scaled by statistics of the training
classes, and support and query may share a group.
Command: python -m experiments.train --config=experiments/configs/own.py \\
    --config.data.path=my.csv --config.modalities=image,tabular
"""

from ml_collections import ConfigDict

from experiments.configs import emoji


def get_config() -> ConfigDict:
    """The configuration; any value can be overridden."""
    config = emoji.get_config()
    config.data.name = "csv"
    config.encoders.tabular = "mlp_standardised"  # numbers of all magnitudes
    config.apart = False
    config.head = "predictive"  # classes of one's own have more rows or fewer
    config.compare = "concat,raw"
    # Data of one's own have fewer classes than emoji: ten to train on, three to test on.
    config.train.update(ways=5, shots=1, queries=2, drop=0.2)  # what is missing is learned too
    config.validation.update(ways=3, shots=1, queries=2)
    config.test.settings = ((3, 1), (3, 3))
    return config
