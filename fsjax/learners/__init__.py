"""Few-shot methods: each factory gives a `fsjax.types.Learner`."""

from fsjax.learners.am3 import am3
from fsjax.learners.described import described
from fsjax.learners.hallucinate import hallucinate
from fsjax.learners.imputed import imputed
from fsjax.learners.maml import maml
from fsjax.learners.metric import metric
from fsjax.learners.pictures import pictures
from fsjax.learners.tip_adapter import tip_adapter

__all__ = [
    "am3",
    "described",
    "hallucinate",
    "imputed",
    "maml",
    "metric",
    "pictures",
    "tip_adapter",
]
