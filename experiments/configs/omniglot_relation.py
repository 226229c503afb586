"""A relation network on feature maps, on Omniglot, split of Vinyals et al., each rotation a class.

Claim: 98.2, 99.5, 94.7 and 98.4 in 5-way 1-shot, 5-way 5-shot, 20-way 1-shot and 20-way 5-shot,
each +- 0.2 or less. The best public reimplementation has 98.0 and 99.3 in 5-way (Sung et al. 2018
report 99.6 and 99.8).
Cost: 20 minutes on one CPU core beside other work.
Command: python -m experiments.train --config=experiments/configs/omniglot_relation.py
    --config.data.path=FOLDER --config.data.splits=FOLDER/omniglot_vinyals_split.json
"""

from ml_collections import ConfigDict

from experiments.configs import omniglot


def get_config() -> ConfigDict:
    """Maps of 7 x 7, compared by convolutions; squared error as in the paper."""
    config = omniglot.get_config()
    config.update(head="relation", relation="maps", loss="squared_error")
    config.encoders.image = "conv4_maps"
    # Pairs cost as much as images: fewer ways than for prototypes.
    config.train.update(steps=5000, chunk=500, ways=20, queries=2, optimizer="muon")
    return config
