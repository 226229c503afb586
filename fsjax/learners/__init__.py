"""Few-shot methods: each factory gives a `fsjax.types.Learner`."""

from fsjax.learners.am3 import am3
from fsjax.learners.hallucinate import hallucinate
from fsjax.learners.maml import maml
from fsjax.learners.metric import metric

__all__ = ["am3", "hallucinate", "maml", "metric"]
