"""The bouts of `experiments.bench`: what is done, and by whom."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from experiments.benchmarks.contest import Bout, Competitor, Work
from experiments.benchmarks.rows import CLASSES, maml_tasks, of_images, of_three

# glibc then keeps what is freed, in place of giving it back and asking for it page by page again.
TUNED = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
LAST = "PyTorch, channels last"


def bouts(*, quick: bool) -> dict[str, Bout]:
    """All bouts by name, or short ones of some."""
    if quick:
        return {
            "peak": _peak(),
            "prototypes_20": _prototypes(20, 2),
            "fused": _fused(2),
            "evaluation": _evaluation(CLASSES, 100),
            "maml_1": _maml(5, 4, 1),
            "seeds": _seeds((1, 4)),
        }
    return {
        "peak": _peak(),
        "prototypes_20": _compiled_too(20, 5),
        "prototypes_60": _compiled_too(60, 3),
        "fused": _fused(5),
        "resnet12": _resnet12(),
        "evaluation": _evaluation(1692, 1000),
        "maml_1": _maml(5, 32, 1, ("", ", tasks by vmap")),
        "maml_5": _maml(5, 32, 5),
        "maml_20_ways": _maml(20, 16, 5),
        "seeds": _seeds((1, 4, 16)),
    }


def gigaflops(rows: int, size: int, channels: int = 1) -> float:
    """Of the convolutions of a training step through Conv4-64: forward, and towards the kernels
    and, but for the first, the inputs.
    """
    total = 0
    for block, inputs in enumerate((channels, 64, 64, 64)):
        total += (3 if block else 2) * 2 * 9 * size**2 * inputs * 64
        size //= 2
    return rows * total / 1e9


def _peak() -> Bout:
    return Bout(
        "Matrix products of 2048 x 2048, whose rate is taken for the peak",
        "product",
        1,
        {"fsjax": Competitor(_jax_product), "PyTorch": Competitor(_torch_product)},
        2 * 2048**3 / 1e9,
    )


def _prototypes(ways: int, steps: int) -> Bout:
    return Bout(
        f"Prototypes, Conv4-64, 28 x 28, {ways}-way, 5 shots, 5 queries: a training step",
        "step",
        steps,
        _steps("conv4", of_images, {"ways": ways, "shots": 5}, 5, steps),
        gigaflops(10 * ways, 28),
    )


def _compiled_too(ways: int, steps: int) -> Bout:
    """The same with PyTorch's compiler, which takes long."""
    bout = _prototypes(ways, steps)
    how = {"ways": ways, "shots": 5, "steps": steps, "channels_last": True, "compiled": True}
    compiled = Competitor(partial(_torch_steps, "conv4", of_images, 10, how))
    return bout._replace(
        competitors={**bout.competitors, "PyTorch, compiled, channels last": compiled}
    )


def _resnet12() -> Bout:
    return Bout(
        "Prototypes, ResNet-12, 84 x 84, 5-way, 1 shot, 1 query: a training step",
        "step",
        4,
        _steps("resnet12", partial(of_images, 84, 3), {"ways": 5, "shots": 1}, 1, 4),
    )


def _fused(steps: int) -> Bout:
    return Bout(
        "Image, text and sound fused by attention, 20-way, 1 shot, 2 queries: a training step",
        "step",
        steps,
        _steps("fused", of_three, {"ways": 20, "shots": 1}, 2, steps),
    )


def _evaluation(classes: int, episodes: int) -> Bout:
    sizes = {"ways": 5, "shots": 1, "queries": 15, "episodes": episodes}
    ours = partial(_jax_evaluation, classes, sizes)
    names = ("embedded_anew", "embedded_once")
    anew, once = (partial(_torch_evaluation, name, classes, sizes) for name in names)
    return Bout(
        f"{episodes} test episodes, Conv4-64, 5-way, 1 shot, 15 queries, of {classes} classes",
        "episode",
        episodes,
        {
            "fsjax": Competitor(ours),
            "PyTorch, each episode by itself": Competitor(anew, TUNED),
            "PyTorch, all rows once": Competitor(once, TUNED),
        },
    )


def _maml(ways: int, tasks: int, steps: int, mapped: Sequence[str] = ("",)) -> Bout:
    who = {"fsjax": {}, "PyTorch": {}, "PyTorch, tuned allocator": TUNED}
    return Bout(
        f"MAML, second order, Conv4-64, {ways}-way, 1 shot, 15 queries, {steps} inner steps: "
        f"a gradient of {tasks} tasks",
        "task",
        tasks,
        {
            name + how: Competitor(
                partial(_outer_gradient, name + how, ways, tasks, steps), variables
            )
            for how in mapped
            for name, variables in who.items()
        },
    )


def _seeds(numbers: tuple[int, ...]) -> Bout:
    sizes = {"ways": 20, "shots": 1, "queries": 2, "steps": 2}

    def of(number: int) -> Competitor:
        return Competitor(partial(_jax_steps, "conv4", of_images, sizes | {"seeds": number}))

    return Bout(
        "Prototypes of several seeds side by side, 20-way, 1 shot, 2 queries: a training step",
        "step",
        2,
        {f"fsjax, seeds: {number}": of(number) for number in numbers},
    )


def _steps(
    model: str,
    rows: Callable[[], dict[str, np.ndarray]],
    sizes: Mapping[str, int],
    queries: int,
    steps: int,
) -> dict[str, Competitor]:
    """Training steps of a model by fsjax and by PyTorch with several settings."""
    ours = {**sizes, "queries": queries, "steps": steps}

    def theirs(**how: bool) -> Callable[[], Work]:
        number = sizes["shots"] + queries
        return partial(_torch_steps, model, rows, number, {**sizes, "steps": steps, **how})

    cores = len(os.sched_getaffinity(0))
    spread = Competitor(partial(_jax_steps, model, rows, {**ours, "devices": cores}))
    return {
        "fsjax": Competitor(partial(_jax_steps, model, rows, ours)),
        **({"fsjax, rows over the cores": spread} if cores > 1 else {}),
        "PyTorch": Competitor(theirs()),
        LAST: Competitor(theirs(channels_last=True)),
        f"{LAST}, tuned allocator": Competitor(theirs(channels_last=True), TUNED),
    }


def _jax_steps(
    model: str, rows: Callable[[], dict[str, np.ndarray]], sizes: Mapping[str, int]
) -> Work:
    from experiments.benchmarks import jax_prototypes

    config = jax_prototypes.fused() if model == "fused" else jax_prototypes.of_images(model)
    return jax_prototypes.work(config, rows(), **sizes)


def _torch_steps(
    model: str,
    rows: Callable[[], dict[str, np.ndarray]],
    number: int,
    sizes: Mapping[str, Any],
) -> Work:
    from experiments.benchmarks import torch_networks, torch_prototypes

    given = {m: x[:, :number] for m, x in rows().items()}
    if "text" in given:
        given["text"] = torch_networks.hashed(given["text"])
    return torch_prototypes.work(torch_networks.NETWORKS[model], given, **sizes)


def _jax_evaluation(classes: int, sizes: Mapping[str, int]) -> Work:
    from experiments.benchmarks import jax_prototypes

    return jax_prototypes.evaluation(of_images(classes=classes)["image"], **sizes)


def _torch_evaluation(embedded: str, classes: int, sizes: Mapping[str, int]) -> Work:
    from experiments.benchmarks import torch_prototypes

    rows = of_images(classes=classes)["image"]
    return torch_prototypes.evaluation(getattr(torch_prototypes, embedded), rows, **sizes)


def _outer_gradient(name: str, ways: int, number: int, steps: int) -> Work:
    tasks = maml_tasks(number, ways)
    if name.startswith("PyTorch"):
        from experiments.benchmarks import torch_maml

        how = torch_maml.mapped if "vmap" in name else torch_maml.in_turn
        return torch_maml.work(how, tasks, features=64, ways=ways, steps=steps)
    import jax

    # Tasks are spread over one device a core, as training does with --config.devices.
    jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    from experiments.benchmarks import jax_maml

    work = jax_maml.ours(tasks, ways=ways, steps=steps, block=None if "vmap" in name else 1)
    return lambda: jax.block_until_ready(work())


def _jax_product() -> Work:
    import jax
    import jax.numpy as jnp

    product, x = jax.jit(jnp.matmul), jnp.ones((2048, 2048))
    return lambda: jax.block_until_ready(product(x, x))


def _torch_product() -> Work:
    import torch

    from experiments.benchmarks.torch_device import DEVICE

    x = torch.ones(2048, 2048, device=DEVICE)
    return lambda: (x @ x)[0, 0].item()
