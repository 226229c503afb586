"""What a run would do and cost, from its compiled programs, without a step of training."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from experiments import build, dealer, devices, dividing, jobs, seeds, streaming, teaching
from experiments.names import setting
from fsjax.data.pool import make_pool
from fsjax.training.state import train_chunk
from fsjax.types import Params, Pool


class Cost(NamedTuple):
    """Of one model, of its program for a chunk of training."""

    name: str
    steps: int
    parameters: int
    memory: int  # bytes on each device: what goes in, what comes out and what lies between
    flops: float  # of a step, of a loop within it one turn


def plan(config: ConfigDict) -> str:
    """Compiles the training of every model and tells what they cost and what the run would do.

    Raises:
      ValueError: as `experiments.train.train`, if config and data do not fit.
    """
    devices.workers(config)
    if config.seeds > 1:
        seeds.check(config)
    tables = build.tables(config)
    pools = {s: devices.everywhere(config, make_pool(tables[s])) for s in build.HELD_OUT}
    pools["train"] = dividing.training_pool(config, tables["train"])
    base, told = None, []
    teaching.in_order(config)
    teaching.check_trained(config, pools["train"])
    jobs.check_models(config)
    if config.base.steps:
        jobs.check_base(config)
        first, others = map(make_pool, build.base_tables(config, tables["train"]))
        job = jobs.prepare(build.base(config), first)
        told.append(cost("base", job))
        base, pools["train"] = job.state.params["network"], others
    for name, variant in build.models(config).items():
        taught = teaching.is_taught(variant)
        teacher = teaching.untrained_teacher(config, pools["train"]) if taught else None
        told.append(_model(name, variant, pools, base, teacher))
    return "\n".join([*map(_row, told), "", *_intended(config)])


def _model(
    name: str,
    variant: ConfigDict,
    pools: Mapping[str, Pool],
    base: Params | None,
    teacher: build.Teacher | None,
) -> Cost:
    job = jobs.prepare(variant, pools["train"], base if variant.train.steps else None, teacher)
    jobs.rehearse(job, {split: pools[split] for split in ("validation", "test")})
    return cost(name, job)


def cost(name: str, job: jobs.Job) -> Cost:
    """What a model costs; its program is kept for the run where programs are."""
    settings = job.config.train
    parameters = sum(x.size for x in jax.tree.leaves(job.state.params))
    if not settings.steps:
        return Cost(name, 0, parameters, 0, 0.0)
    steps = min(settings.chunk, settings.steps)
    elsewhere = streaming.is_stored_elsewhere(job.training.sample)
    steps, how = (
        streaming.first_program(job, steps) if elsewhere else (steps, jobs.trains_with(job))
    )
    program = train_chunk.lower(job.state, num_steps=steps, **how).compile()
    used = program.memory_analysis()
    held = used.argument_size_in_bytes + used.output_size_in_bytes - used.alias_size_in_bytes
    # Of a loop, which a chunk is, the analysis counts one turn.
    flops = program.cost_analysis()["flops"]
    return Cost(name, settings.steps, parameters, held + used.temp_size_in_bytes, flops)


def _row(cost: Cost) -> str:
    if not cost.steps:
        return f"{cost.name}: {cost.parameters} parameters, not trained"
    return (
        f"{cost.name}: {cost.parameters} parameters, {cost.memory / 2**20:.1f} MiB, "
        f"{cost.flops:.3g} flops a step (of a loop in it one turn), {cost.steps} steps"
    )


def _intended(config: ConfigDict) -> list[str]:
    spread = devices.mesh(config)
    number = 1 if spread is None else spread.size
    asked = dealer.episode_settings(config)
    (training,), (validation,) = asked["train"], asked["validation"]
    tests = ", ".join(map(setting, asked["test"]))
    several = [f"{config.seeds} seeds in one program, of each what is said above"]
    return [
        *(several if config.seeds > 1 else []),
        f"on {number} of {jax.device_count()} devices ({jax.default_backend()})",
        f"trains on {config.train.tasks} tasks a step, {setting(training)}",
        f"validates and saves every {config.train.chunk} steps, on {config.validation.episodes} "
        f"episodes, {setting(validation)}",
        f"tests on {config.test.episodes} episodes each: {tests}",
    ]
