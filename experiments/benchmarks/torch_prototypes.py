"""Training steps of a prototypical network in PyTorch, as one would write it."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from experiments.benchmarks.contest import Work


def conv4(*, features: int = 64) -> nn.Sequential:
    """Images [B, 1, 28, 28] -> [B, D]: convolution, norm, ReLU and pooling, four times."""
    layers: list[nn.Module] = []
    for block in range(4):
        inputs = features if block else 1
        layers += [nn.Conv2d(inputs, features, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(features), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten())


def loss(z: torch.Tensor, *, ways: int, shots: int) -> torch.Tensor:
    """Of queries among prototypes: features [W, K + Q, D] in one, support first, of each class."""
    means, queries = z[:, :shots].mean(1), z[:, shots:]
    logits = -torch.cdist(queries.reshape(-1, z.shape[-1]), means).square()
    target = torch.arange(ways).repeat_interleave(queries.shape[1])
    return F.cross_entropy(logits, target)


def work(
    images: np.ndarray,
    *,
    ways: int,
    shots: int,
    queries: int,
    steps: int,
    channels_last: bool = False,
    compiled: bool = False,
) -> Work:
    """As of `jax_prototypes`, on one episode that was drawn before."""
    torch.manual_seed(0)
    network = conv4()
    x = torch.tensor(images[:ways, : shots + queries]).flatten(0, 1).movedim(-1, 1)
    x = x.float() / 127.5 - 1.0
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    forward = torch.compile(network) if compiled else network

    def take() -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            z = forward(x)
            loss(z.reshape(ways, shots + queries, -1), ways=ways, shots=shots).backward()
            optimizer.step()

    return take
