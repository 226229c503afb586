"""A student that sees leaves as pictures alone, taught by one that has measured them too.

Claim: none yet.
Cost: not measured.
Command: python -m experiments.train --config=experiments/configs/leaf_distillation.py
    --config.data.path=FOLDER/leaf64.npz --config.seed=0
"""

from ml_collections import ConfigDict

from experiments.configs import leaf_fusions


def get_config() -> ConfigDict:
    """The picture with and without the teacher that sees margin, shape and texture beside it."""
    config = leaf_fusions.get_config()
    config.compare = "image,image+taught"
    config.encoders.image = "conv4_strided"  # cheap: the measured numbers carry the teacher
    config.train.update(queries=2, steps=200)
    return config
