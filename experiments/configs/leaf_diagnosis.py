"""As in diagnosis: picture and measurements, classes with few known cases and more, an answer only
where it is sure. Leaves stand in for lesions, their margin, shape and texture for what is measured.

Command: python -m experiments.train --config=experiments/configs/leaf_diagnosis.py
    --config.data.path=FOLDER/leaf64.npz
"""

from ml_collections import ConfigDict

from experiments.configs import leaf_fusions


def get_config() -> ConfigDict:
    """Ten classes of one to five known cases each; a temperature and the least confidence of an
    answer are chosen on validation, so that one answer in twenty is wrong there.
    """
    config = leaf_fusions.get_config()
    config.compare = "image,margin"
    config.validation.ways = 10
    config.test.update(settings=((10, (1, 5)),), calibrate=True, risk=0.05, unknown=5)
    return config
