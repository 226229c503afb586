"""Who teaches the models of a run that are trained by distillation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from experiments import build, fitting, jobs, results
from experiments.evaluate import load_config
from experiments.names import as_path, check_name, parse_names
from fsjax.types import Params, Pool

# Of `config.data` what says where rows lie, and not which ones they are.
PLACES = ("stream", "ahead", "divide")


def in_order(config: ConfigDict) -> list[list[str]]:
    """The models of a run, a teacher among them before all others.

    Raises:
      ValueError: if one is taught and its teacher is of another run that does not fit, is itself
        taught, is not trained or is not there, or if it cannot be taught so.
    """
    variants = build.models(config)
    taught = [name for name, variant in variants.items() if is_taught(variant)]
    if not taught:
        return [list(variants)]
    folder, name, teacher = _teacher(config)
    if folder:
        _check_fits(config, teacher, folder, name)
    else:
        _check_can_teach(teacher, name)
    unseen = build.Teacher(teacher, build.model(teacher), None)
    for student in taught:  # what does not fit is found here and not when the teacher is trained
        build.training(variants[student], build.model(variants[student]), None, unseen)
    first = [] if folder else [[name]]
    return [*first, [other for other in variants if [other] not in first]]


def teacher_of(
    config: ConfigDict, name: str, pools: Mapping[str, Pool], workdir: Path
) -> build.Teacher | None:
    """The teacher of a model of a run; None if it has none.

    Args:
      config: of the run, which `in_order` does not refuse.
      name: of the model.
      pools: the classes of training, and those of validation, by which some learners are set.
      workdir: of the run; where the teacher is a model of it, that has been trained.

    Raises:
      ValueError: if the teacher's checkpoint is damaged.
    """
    if not is_taught(build.models(config)[name]):
        return None
    folder, teacher, variant = _teacher(config)
    params = _trained(variant, pools["train"], (folder or workdir) / "models" / teacher)
    model = build.model(variant)
    params = jobs.chosen(variant, model, params, pools["validation"])
    return build.Teacher(variant, model, params)


def check_trained(config: ConfigDict, train: Pool) -> None:
    """Checks that a teacher of another run has come to the end of its training.

    Raises:
      ValueError: if it has not, or its checkpoint is damaged.
    """
    if any(map(is_taught, build.models(config).values())):
        folder, name, variant = _teacher(config)
        if folder:
            _trained(variant, train, folder / "models" / name)


def untrained_teacher(config: ConfigDict, train: Pool) -> build.Teacher:
    """The teacher of the models of a run as it is before training, of which it has the shapes."""
    _, _, variant = _teacher(config)
    job = jobs.prepare(variant, train)
    return build.Teacher(variant, job.model, job.state.params)


def is_taught(variant: ConfigDict) -> bool:
    """Whether a model learns from another."""
    return variant.objective == build.DISTILLATION


def _teacher(config: ConfigDict) -> tuple[Path | None, str, ConfigDict]:
    """Its run if that is another one, its name and its config."""
    settings = config.teacher
    folder = as_path(settings.workdir) if settings.workdir else None
    variants = build.models(load_config(folder) if folder else config)
    name = settings.model or next(iter(variants))
    check_name(list(variants), name, "teacher.model")
    return folder, name, variants[name]


def _trained(teacher: ConfigDict, train: Pool, folder: Path) -> Params:
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), train)
    return fitting.params_by_shapes(teacher, shapes, folder)


def _check_can_teach(teacher: ConfigDict, name: str) -> None:
    if is_taught(teacher):
        raise ValueError(
            f"config.teacher: {name!r} cannot teach, as it is taught itself: leave "
            "config.objective at its default and name its students in config.compare, as in "
            "image+taught, or name another run in config.teacher.workdir"
        )
    if teacher.train.steps == 0:
        raise ValueError(f"config.teacher.model: {name!r} is not trained, so it cannot teach")


def _check_fits(config: ConfigDict, teacher: ConfigDict, folder: Path, name: str) -> None:
    """Checks that a teacher of another run knows no class of our validation or test."""
    if unlike := results.difference(_rows(teacher), _rows(config)):
        raise ValueError(
            f"{name!r} of config.teacher.workdir={folder} was trained on other data, and may know "
            f"the classes of validation and test: {unlike}; train a teacher on these data"
        )
    for key, known in _inputs(teacher).items():
        if lacking := sorted(set(known) - set(_inputs(config)[key])):
            raise ValueError(
                f"{name!r} of config.teacher.workdir={folder} sees {', '.join(lacking)}, which "
                f"config.{key} does not name: name it there, and a student with less in "
                "config.compare, as in image+taught"
            )
    if not (folder / "models" / name / "checkpoints").is_dir():
        raise ValueError(f"config.teacher.workdir={folder}: {name!r} was not trained there")


def _rows(config: ConfigDict) -> dict[str, Any]:
    """What says which rows a run reads, and how."""
    settings = results.plain(config)
    data = {key: value for key, value in settings["data"].items() if key not in PLACES}
    return {"data": data, "frozen": settings["frozen"]}


def _inputs(config: ConfigDict) -> dict[str, Sequence[str]]:
    """What a model sees: modalities and class descriptions."""
    described = parse_names(config.side) + parse_names(config.generation.side)
    return {"modalities": parse_names(config.modalities), "side": described}
