"""The triangular relation network on emoji, image, text and speech fused by attention."""

from ml_collections import ConfigDict

from experiments.configs import emoji


def get_config() -> ConfigDict:
    config = emoji.get_config()
    config.base.steps = 400
    config.update(learner="hallucinate", head="triangular")
    config.compare = "prototype,relation,triangular,prototype+hallucinate"
    config.train.update(steps=2000, chunk=500, ways=20, shots=1, queries=2, learning_rate=1e-3)
    config.generation.curve = "0,1,2,5,20"
    return config
