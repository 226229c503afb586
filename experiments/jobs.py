"""One model of a run, built, and what measures it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from experiments import build, compiled, dealer, devices
from experiments.names import parse_names, setting
from fsjax.data.stored import fetched
from fsjax.encoders.multimodal import encode_pool
from fsjax.evaluation.episodic import episode_logits, evaluate
from fsjax.evaluation.figures import accuracy
from fsjax.learners.sighted import sighted
from fsjax.training.state import init_state
from fsjax.types import Array, Key, Learner, Params, Pool, Sample, TrainState

# Fixed, so that every model of every run answers the same episodes.
VALIDATION_KEY, TEST_KEY = 101, 202
EVALUATION_BATCH = 20
# Rows encoded at once: maps of more leave the caches of a CPU, and of fewer a GPU idle.
ON_CPU, ELSEWHERE = 32, 256


class Job(NamedTuple):
    """One model, ready to be trained."""

    config: ConfigDict
    model: build.Model
    tasks: Sample  # training episodes
    training: build.Training
    optimizer: optax.GradientTransformation
    state: TrainState  # before the first step
    calibrated: bool  # whether the network is, and stays so


def prepare(
    config: ConfigDict,
    train: Pool,
    base: Params | None = None,
    teacher: build.Teacher | None = None,
) -> Job:
    """Builds the model that a config names, its parameters drawn from the config's seed.

    Args:
      config: of the model.
      train: the training classes.
      base: parameters of a network that has been trained. If it stays as it is, rows are encoded
        once. Only for a model that `check_base` does not refuse.
      teacher: of a model that is to be trained by distillation.
    """
    model = build.model(config, base)
    trained, rows = model, train
    fixed = base is not None and config.base.begins == "frozen"
    if fixed:
        trained, rows = model.fast, encoded(model, base, train, devices.mesh(config))
    tasks = dealer.training_tasks(config, rows)
    training = build.training(config, trained, rows, teacher)
    optimizer = build.optimizer(config)
    state = first_state(config, trained.learner, tasks, training, optimizer, compiled.once)
    state = devices.everywhere(config, state)
    return Job(config, model, tasks, training, optimizer, state, fixed)


def first_state(
    config: ConfigDict,
    learner: Learner,
    tasks: Sample,
    training: build.Training,
    optimizer: optax.GradientTransformation,
    compiled: Callable[[Callable], Callable],
) -> TrainState:
    """The state before the first step; a function is `compiled` before it is called."""
    key_init, key_run = jax.random.split(jax.random.key(config.seed))
    first = compiled(lambda tasks, key: dealer.first_task(tasks(key)))(tasks, key_init)
    params = compiled(learner.init)(key_init, first.support)
    params = compiled(training.init)(jax.random.fold_in(key_init, 1), params)
    return init_state(key_run, params, optimizer)


def check_models(config: ConfigDict) -> None:
    """Checks that the parts of every model of a run fit each other, and its data.

    Raises:
      ValueError: if those of one do not, and says of which; or as `dealer.check_changes`.
    """
    dealer.check_changes(config)
    for name, variant in build.models(config).items():
        with _naming(name):
            build.training(variant, build.model(variant), None)


@contextmanager
def _naming(model: str) -> Iterator[None]:
    """Says of which model an error is."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{model}: {error}") from error


def check_base(config: ConfigDict) -> None:
    """Checks that the base of a run can be trained, and all models that are begin with it.

    Raises:
      ValueError: if its objective cannot train it, a model has another network, its rows cannot be
        encoded before training, or its objective has to encode them itself.
    """
    alone = build.base(config)
    with _naming("config.base"):
        build.training(alone, build.model(alone), None)
    for name, variant in build.models(config).items():
        if variant.train.steps:
            _check_begins(config, name, variant)


def _check_begins(config: ConfigDict, name: str, variant: ConfigDict) -> None:
    if variant.objective == build.DISTILLATION:
        raise ValueError(
            f"{name!r} learns from a teacher, which sees rows that config.base would encode: set "
            "config.base.steps=0"
        )
    parts = ("modalities", "encoders", "fusion", "norm")
    if any(variant[part] != config[part] for part in parts) or variant.head in build.CENTRED:
        raise ValueError(
            f"config.base is the network of all models, and {name!r} has another one: compare "
            f"heads and learners alone, and none of the heads {', '.join(build.CENTRED)}"
        )
    if config.base.begins != "frozen":
        return
    fast = build.model(variant).fast
    if fast is None or variant.train.warp:
        raise ValueError(
            "config.base encodes rows once, before training: take config.learner=metric or "
            "hallucinate, a norm that does not mix rows, config.train.warp=0 and, where rows are "
            "streamed, no encoder raw; or config.base.begins=tuned or low_rank"
        )
    with _naming(name):
        build.training(variant, fast, None)


def rehearse(job: Job, pools: Mapping[str, Pool]) -> None:
    """Finds out before training whether a learner takes the episodes of validation and test.

    Metric learners, whose rows are encoded once, take any.

    Raises:
      ValueError: what the learner says, and in which setting.
    """
    learner = job.model.learner
    if job.model.fast is not None:
        return
    for split, settings in dealer.episode_settings(job.config).items():
        for asked in settings if split in pools else []:
            sample = dealer.episodes(job.config, pools[split], **asked)
            try:
                jax.eval_shape(
                    lambda key, sample=sample: episode_logits(
                        learner, job.state.params, sample(key)
                    ),
                    jax.random.key(0),
                )
            except ValueError as error:
                raise ValueError(f"{split} episodes, {setting(asked)}: {error}") from error


def trains_with(job: Job) -> dict[str, Any]:
    """What `train_chunk` takes of a job, besides the state and the number of steps."""
    how = job.training
    return {"sample": how.sample, "objective": how.objective, "optimizer": job.optimizer}


def chosen(config: ConfigDict, model: build.Model, params: Params, validation: Pool) -> Params:
    """Parameters with those of them set that a learner does not learn, but has chosen for it by
    the accuracy on validation.
    """
    choose = build.CHOSEN.get(config.learner)
    return choose(params, validated(config, model, validation)) if choose else params


def validated(
    config: ConfigDict, model: build.Model, validation: Pool
) -> Callable[[Params], float]:
    """Parameters -> their accuracy on the classes of validation."""
    settings = dealer.episode_settings(config)["validation"][0]
    episodes = evaluator(
        model, config, num_episodes=config.validation.episodes, figures=(accuracy,)
    )

    def measure(params: Params) -> float:
        _, rows = prepared(model, params, validation, devices.mesh(config))
        sample = dealer.episodes(config, rows, **settings)
        figures = episodes(params, jax.random.key(VALIDATION_KEY), sample)
        return float(np.mean(figures["accuracy"]))

    return measure


def prepared(
    model: build.Model, params: Params, rows: Pool, mesh: Mesh | None = None
) -> tuple[Learner, Pool]:
    """A learner and rows that give the same figures, every row encoded once where that can be."""
    if model.fast is None:
        return model.learner, rows
    return model.fast.learner, encoded(model, params["network"], rows, mesh)


def encoded(model: build.Model, params: Params, rows: Pool, mesh: Mesh | None) -> Pool:
    """Rows as the encoders of a model make tokens of them, by all devices of a mesh."""
    batch = ON_CPU if jax.default_backend() == "cpu" else ELSEWHERE
    return encode_pool(model.module, params, rows, batch=batch, read=fetched, mesh=mesh)


def evaluator(
    model: build.Model, config: ConfigDict, **settings: Any
) -> Callable[..., dict[str, Array]]:
    """`evaluate` with its settings bound, for rows that `prepared` gave: params, key, sample.

    Rows of which the model sees nothing are padding to it, or queries at which it can only guess.
    """
    sees = parse_names(config.modalities), build.known_by(config)
    learner = sighted((model.fast or model).learner, *sees)
    how = {"batch": build.block(config) or EVALUATION_BATCH, "mesh": devices.mesh(config)}

    def figures(params: Params, key: Key, sample: Sample) -> dict[str, Array]:
        return evaluate(learner, params, key, sample=sample, **how, **settings)

    # Where rows were encoded before, drawing episodes takes longer to compile than to run.
    quick = model.fast is not None and config.head not in build.OF_PAIRS
    return (compiled.once if quick else jax.jit)(figures)
