"""MAML and MAML++ on Omniglot at the papers' own settings, by name.

Claim: none yet, never run to its end: days on two CPU cores, meant for an accelerator. A run that
is stopped goes on from its last chunk when it is given the same command and work directory again,
so that it can be done in stages of minutes, as `timeout 540` in front makes them.
Command: python -m experiments.train --config=experiments/configs/omniglot_papers.py:maml_20w1s
    --config.data.path=FOLDER --config.data.splits=FOLDER/omniglot_vinyals_split.json --workdir DIR
"""

from ml_collections import ConfigDict

from experiments.configs import omniglot_maml
from experiments.names import pick

# Finn et al. 2017, appendix A.1, and Antoniou et al. 2019, section 5: ways and shots, what the
# inner loop does, tasks of an outer step.
MAML_5 = {"rate": 0.4, "steps": 1, "test_steps": 3}
MAML_20 = {"rate": 0.1, "steps": 5, "test_steps": 5}
SETTINGS = {
    "maml_5w1s": ("maml", 5, 1, MAML_5, 32),
    "maml_5w5s": ("maml", 5, 5, MAML_5, 32),
    "maml_20w1s": ("maml", 20, 1, MAML_20, 16),
    "maml_20w5s": ("maml", 20, 5, MAML_20, 16),
    "maml_pp_20w1s": ("maml_pp", 20, 1, MAML_20, 8),
    "maml_pp_20w5s": ("maml_pp", 20, 5, MAML_20, 8),
}


def get_config(name: str = "maml_5w1s") -> ConfigDict:
    """60000 outer steps, as many queries of a class as shots."""
    learner, ways, shots, inner, tasks = pick(SETTINGS, name, "config")
    config = omniglot_maml.get_config()
    config.learner = learner
    config.inner.update(inner)
    config.train.update(steps=60000, chunk=500, tasks=tasks, learning_rate=1e-3)
    for part in (config.train, config.validation):
        part.update(ways=ways, shots=shots, queries=shots)
    config.test.update(settings=((ways, shots),), queries=shots)
    return config
