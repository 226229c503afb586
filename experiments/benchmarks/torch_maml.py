"""One outer gradient of second-order MAML in PyTorch, as one would write it with torch.func."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch.func import grad, vmap

from experiments.benchmarks.torch_device import DEVICE, wait

Tensors = dict[str, torch.Tensor]


def init(*, features: int, ways: int) -> Tensors:
    """Parameters of Conv4 on 28 x 28 pixels of one channel, and of its last layer."""
    torch.manual_seed(0)
    params = {}
    for block in range(4):
        inputs = features if block else 1
        params[f"kernel{block}"] = torch.randn(features, inputs, 3, 3) * (2 / 9 / inputs) ** 0.5
        params[f"scale{block}"] = torch.ones(features)
        params[f"bias{block}"] = torch.zeros(features)
    return params | {
        "kernel": torch.randn(ways, features) / features**0.5,
        "bias": torch.zeros(ways),
    }


def logits(params: Tensors, x: torch.Tensor) -> torch.Tensor:
    """Images [B, 1, 28, 28] -> [B, W]; the norms take the statistics of the batch."""
    for block in range(4):
        x = F.conv2d(x, params[f"kernel{block}"], padding=1)
        norm = params[f"scale{block}"], params[f"bias{block}"]
        x = F.max_pool2d(F.relu(F.batch_norm(x, None, None, *norm, training=True)), 2)
    return F.linear(x.flatten(1), params["kernel"], params["bias"])


def task_gradient(params: Tensors, task: tuple[torch.Tensor, ...], *, steps: int) -> Tensors:
    """Of the query loss after steps of 0.4 on the support loss, differentiated through them."""
    x, y, query, target = task

    def outer(params: Tensors) -> torch.Tensor:
        for _ in range(steps):
            slopes = grad(lambda p: F.cross_entropy(logits(p, x), y))(params)
            params = {name: p - 0.4 * slopes[name] for name, p in params.items()}
        return F.cross_entropy(logits(params, query), target)

    return grad(outer)(params)


def in_turn(params: Tensors, tasks: tuple[torch.Tensor, ...], *, steps: int) -> Tensors:
    """The mean gradient over tasks [T, ...], one after another."""
    total = {name: torch.zeros_like(p) for name, p in params.items()}
    for task in zip(*tasks, strict=True):
        for name, slope in task_gradient(params, task, steps=steps).items():
            total[name] += slope / len(tasks[0])
    return total


def mapped(params: Tensors, tasks: tuple[torch.Tensor, ...], *, steps: int) -> Tensors:
    """The same, all tasks at once by torch.func.vmap."""
    slopes = vmap(partial(task_gradient, steps=steps), in_dims=(None, 0))(params, tasks)
    return {name: slope.mean(0) for name, slope in slopes.items()}


def work(
    how: Callable[..., Tensors], tasks: tuple, *, features: int, ways: int, steps: int
) -> Callable[[], object]:
    """A function that computes one outer gradient of NumPy tasks (x, y, query, target)."""
    params = {n: p.to(DEVICE) for n, p in init(features=features, ways=ways).items()}
    x, y, query, target = tasks
    images = [torch.tensor(a, device=DEVICE).moveaxis(-1, 2) for a in (x, query)]
    labels = [torch.tensor(a, device=DEVICE) for a in (y, target)]
    batch = (images[0], labels[0], images[1], labels[1])

    def gradient() -> Tensors:
        found = how(params, batch, steps=steps)
        wait()
        return found

    return gradient
