"""The triangular relation network on groceries, seen through a frozen image encoder.

Command: python -m experiments.train --config=experiments/configs/grocery_triangular.py
    --config.data.path=FOLDER/grocery112.npz
"""

from ml_collections import ConfigDict

from experiments.configs import grocery


def get_config() -> ConfigDict:
    """Features as they are, so that nothing but heads, norms and generator is learned."""
    config = grocery.get_config()
    config.frozen = "image:efficientnet_lite0,icon:efficientnet_lite0"
    config.generation.update(side="icon", condition="both")
    config.encoders.image = "raw"
    config.update(fusion="concat", learner="hallucinate", head="triangular")
    config.compare = "prototype,relation,triangular,prototype+hallucinate"
    config.generation.curve = "0,1,5,20"
    config.train.update(ways=20, steps=600, chunk=200, learning_rate=1e-3)
    config.test.settings = ((5, 1), (5, 5), (20, 1))
    return config
