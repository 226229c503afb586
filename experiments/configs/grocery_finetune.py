"""Fine-tuning to each support set on groceries, beside what a learned map is worth without it.

Claim: none yet.
Cost: not measured.
Command: python -m experiments.train --config=experiments/configs/grocery_finetune.py
    --config.data.path=FOLDER/grocery112.npz
"""

from ml_collections import ConfigDict

from experiments.configs import grocery


def get_config() -> ConfigDict:
    """A learned map by prototypes; beside it the same tuned to each support set: the last layer
    alone, all of it and low-rank adapters; and the features alone.
    """
    config = grocery.get_config()
    config.frozen, config.generation.side = "image:efficientnet_lite0", ""
    config.compare = "probe,finetune,lora,raw"
    config.test.settings = ((5, 1), (5, 5), (20, 1))
    return config
