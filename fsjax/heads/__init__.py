"""Classifiers over features: each factory gives a `fsjax.types.Head`."""

from fsjax.heads.feat import feat
from fsjax.heads.finetuned import cosine, linear
from fsjax.heads.full_context import full_context
from fsjax.heads.logistic import logistic
from fsjax.heads.mahalanobis import mahalanobis
from fsjax.heads.matching import matching
from fsjax.heads.predictive import predictive
from fsjax.heads.propagation import propagation
from fsjax.heads.prototype import prototype
from fsjax.heads.relation import relation
from fsjax.heads.ridge import ridge
from fsjax.heads.simpleshot import simpleshot
from fsjax.heads.soft_kmeans import soft_kmeans
from fsjax.heads.triangular import triangular

__all__ = [
    "cosine",
    "feat",
    "full_context",
    "linear",
    "logistic",
    "mahalanobis",
    "matching",
    "predictive",
    "propagation",
    "prototype",
    "relation",
    "ridge",
    "simpleshot",
    "soft_kmeans",
    "triangular",
]
