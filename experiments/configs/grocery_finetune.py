"""Fine-tuning to each support set on groceries, beside what a learned map is worth without it.

Claim: beside a learned map as it is, tuning its last layer is worth -0.3 +- 0.3 points in 5-way
1-shot, +0.4 +- 0.3 in 5-way 5-shot and +0.3 +- 0.2 in 20-way 1-shot, low-rank adapters with it -0.1
+- 0.3, +0.4 +- 0.3 and +0.4 +- 0.2; tuning all of it loses 2.6 +- 0.5, 1.1 +- 0.4 and 2.0 +- 0.3
(600 episodes, seed 0).
Cost: 4 minutes of one CPU core, once photos are embedded.
Command: python -m experiments.train --config=experiments/configs/grocery_finetune.py
    --config.data.path=FOLDER/grocery112.npz --config.workers=1
    --config.validation.episodes=100 --config.test.episodes=600
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
