"""The triangular relation network on leaves, picture and measurements fused by attention.

Command: python -m experiments.train --config=experiments/configs/leaf_triangular_fused.py
    --config.data.path=FOLDER/leaf64.npz --config.seed=0
"""

from ml_collections import ConfigDict

from experiments.configs import leaf_fusions


def get_config() -> ConfigDict:
    """The network of leaf_fusions.py; heads, relation modules and generators at its features."""
    config = leaf_fusions.get_config()
    config.base.update(steps=200, chunk=100, learning_rate=1e-3)
    config.update(learner="hallucinate", head="triangular")
    config.compare = "prototype,relation,triangular,prototype+hallucinate"
    config.generation.curve = "0,1,5,20"
    # A base encodes rows once, so that images cannot be warped.
    config.train.update(ways=10, steps=600, chunk=200, warp=0.0)
    return config
