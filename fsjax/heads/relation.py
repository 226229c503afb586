"""Relation networks."""

import flax.linen as nn

from fsjax.heads.prototype import class_means
from fsjax.types import Array, Head


class Relation(nn.Module):
    """A relation module on feature vectors: two dense layers over each pair, side by side."""

    hidden: int = 64

    @nn.compact
    def __call__(self, classes: Array, queries: Array) -> Array:
        """classes [W, D], queries [Q, D] -> [Q, W] how much a pair belongs together, a logit."""
        # A dense layer of two vectors side by side is the sum of one of each.
        of_classes = nn.Dense(self.hidden, name="of_classes")(classes)
        of_queries = nn.Dense(self.hidden, name="of_queries", use_bias=False)(queries)
        x = nn.relu(of_queries[:, None] + of_classes)
        return nn.Dense(1, name="score")(x)[..., 0]


def relation(module: nn.Module | None = None) -> Head:
    """Classifies by a learned comparison with each class (Sung et al. 2018,
    https://arxiv.org/abs/1711.06025).

    Args:
      module: class features [W, D], query features [Q, D] -> scores [Q, W]; `Relation` by
        default. It must not mix pairs. The paper's, on feature maps, is
        `fsjax.encoders.comparison.ConvRelation`.

    Returns:
      The head; the paper's relation score is the sigmoid of a logit, and its loss
      `fsjax.objectives.losses.squared_error`. The task is the mean features of each class
      [W, D]: the paper's sum would change its scale with the shots.
    """
    module = Relation() if module is None else module

    def init(key, z, y):
        return module.init(key, class_means(z, y), z)["params"]

    def fit(params, z, y):
        return class_means(z, y)

    def score(params, classes, z):
        return module.apply({"params": params}, classes, z)

    return Head(init, fit, score)
