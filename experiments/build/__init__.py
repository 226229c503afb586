"""From a config to parts: the only place where names become factories."""

from experiments.build.data import (
    HELD_OUT,
    SPLITS,
    Data,
    base_tables,
    prepared,
    seen_by_models,
    tables,
)
from experiments.build.distilling import MATCHES, Teacher
from experiments.build.generation import CRITICS, GENERATORS, TRIPLETS, generator
from experiments.build.heads import (
    DISTANCES,
    HEADS,
    LATE,
    LOSSES,
    OF_PAIRS,
    RELATIONS,
    distance,
    head,
)
from experiments.build.learners import (
    CHOSEN,
    EMBEDS,
    GENERATE,
    LEARNERS,
    TOLD,
    TUNED,
    is_told,
    known_by,
)
from experiments.build.networks import (
    CENTRED,
    ENCODERS,
    FUSIONS,
    NORMS,
    OF_ROWS,
    ROWS_SHARE,
    embed_all,
    encoder_name,
)
from experiments.build.objectives import OBJECTIVES, training
from experiments.build.optimizers import OPTIMIZERS, optimizer
from experiments.build.parts import DISTILLATION, Model, base, model, models
from experiments.build.reading import DATA, PRETRAINED, READ, encoders, read
from experiments.build.tasks import Training, block

__all__ = [
    "CENTRED",
    "CHOSEN",
    "CRITICS",
    "DATA",
    "DISTANCES",
    "DISTILLATION",
    "EMBEDS",
    "ENCODERS",
    "FUSIONS",
    "GENERATE",
    "GENERATORS",
    "HEADS",
    "HELD_OUT",
    "LATE",
    "LEARNERS",
    "LOSSES",
    "MATCHES",
    "NORMS",
    "OBJECTIVES",
    "OF_PAIRS",
    "OF_ROWS",
    "OPTIMIZERS",
    "PRETRAINED",
    "READ",
    "RELATIONS",
    "ROWS_SHARE",
    "SPLITS",
    "TOLD",
    "TRIPLETS",
    "TUNED",
    "Data",
    "Model",
    "Teacher",
    "Training",
    "base",
    "base_tables",
    "block",
    "distance",
    "embed_all",
    "encoder_name",
    "encoders",
    "generator",
    "head",
    "is_told",
    "known_by",
    "model",
    "models",
    "optimizer",
    "prepared",
    "read",
    "seen_by_models",
    "tables",
    "training",
]
