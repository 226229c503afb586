"""From a config to heads, distances and losses by name."""

from collections.abc import Callable

from ml_collections import ConfigDict

from experiments.build.networks import CENTRED
from experiments.names import named, parse_names
from fsjax import heads
from fsjax.encoders.comparison import ConvRelation
from fsjax.heads import distances
from fsjax.heads.late import alike, late, precision, with_unknown
from fsjax.heads.relation import Relation
from fsjax.objectives import losses
from fsjax.types import Array, Head

# Fusions of what the head makes of each modality: how it is trusted, and further places.
LATE = {"late": (alike, 0), "late_precision": (precision(), 0), "late_common": (alike, 1)}
DISTANCES = {
    "squared_euclidean": distances.squared_euclidean,
    "euclidean": distances.euclidean,
    "cosine": distances.cosine,
}
RELATIONS = {"features": Relation, "maps": ConvRelation}
HEADS: dict[str, Callable[[ConfigDict], Head]] = {
    "prototype": lambda config: heads.prototype(distance=distance(config)),
    "matching": lambda config: heads.matching(),
    "full_context": lambda config: heads.full_context(),
    "relation": lambda config: heads.relation(named(RELATIONS, config, "relation")()),
    "ridge": lambda config: heads.ridge(),
    "predictive": lambda config: heads.predictive(),
    "logistic": lambda config: heads.logistic(),
    "linear": lambda config: heads.linear(),
    "cosine": lambda config: heads.cosine(),
    "mahalanobis": lambda config: heads.mahalanobis(),
    "feat": lambda config: heads.feat(distance=distance(config)),
    "soft_kmeans": lambda config: heads.soft_kmeans(distance=distance(config)),
    "simpleshot": lambda config: heads.simpleshot(),
    "propagation": lambda config: heads.propagation(),
    "triangular": lambda config: heads.triangular(),
}
# Heads that know what to say of a class of no rows.
UNCERTAIN = ("predictive",)
# Heads whose task keeps support rows or counts them, and so is no classifier that can be learned.
OF_SUPPORT = (
    "matching",
    "full_context",
    "predictive",
    "mahalanobis",
    "soft_kmeans",
    "propagation",
    "triangular",
)
LOSSES = {"cross_entropy": losses.cross_entropy, "squared_error": losses.squared_error}
# Heads that look at every pair of rows, so that drawing episodes is the smaller part.
OF_PAIRS = ("triangular",)


def distance(config: ConfigDict) -> Callable[[Array, Array], Array]:
    """The distance that a config names, for the heads that have one."""
    return named(DISTANCES, config, "distance")


def head(config: ConfigDict) -> Head:
    """The head that a config names; one for each modality if they are fused late.

    Raises:
      ValueError: if it cannot be one for each modality, or the learner does not fit a head.
    """
    chosen = named(HEADS, config, "head")(config)
    if config.fusion not in LATE:
        return chosen
    if config.head in (*OF_PAIRS, *CENTRED):
        raise ValueError(
            f"config.head={config.head!r} wants features of all modalities together, which "
            f"config.fusion={config.fusion!r} keeps apart: change one of them"
        )
    trust, more = LATE[config.fusion]
    each = chosen if config.head in UNCERTAIN else with_unknown(chosen)
    return late(each, modalities=len(parse_names(config.modalities)) + more, trust=trust)
