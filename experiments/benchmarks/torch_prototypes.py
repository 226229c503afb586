"""Training and testing of a prototypical network in PyTorch, as one would write it."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from experiments.benchmarks.contest import Work
from experiments.benchmarks.torch_device import DEVICE, wait
from experiments.benchmarks.torch_networks import OfImages, conv4


def logits(z: torch.Tensor, shots: int) -> torch.Tensor:
    """Of queries among prototypes: features [W, K + Q, D], support first -> [W * Q, W]."""
    means, queries = z[:, :shots].mean(1), z[:, shots:]
    return -torch.cdist(queries.reshape(-1, z.shape[-1]), means).square()


def targets(ways: int, queries: int) -> torch.Tensor:
    """The classes of queries, class by class: [W * Q]."""
    return torch.arange(ways, device=DEVICE).repeat_interleave(queries)


def loss(z: torch.Tensor, *, ways: int, shots: int) -> torch.Tensor:
    """Of queries among prototypes, as of `logits`."""
    return F.cross_entropy(logits(z, shots), targets(ways, z.shape[1] - shots))


def work(
    network: Callable[[], nn.Module],
    rows: Mapping[str, np.ndarray],
    *,
    ways: int,
    shots: int,
    steps: int,
    channels_last: bool = False,
    compiled: bool = False,
) -> Work:
    """A function that takes steps on one episode that was drawn before.

    Args:
      network: inputs by modality -> features.
      rows: of each modality [C, P, ...], of which the first W classes are taken; images with
        their channels last.
      ways: W.
      shots: K.
      steps: how many it takes.
      channels_last: whether images and kernels are laid out so.
      compiled: whether the network is, by torch.compile.
    """
    torch.manual_seed(0)
    module = _laid_out(network(), channels_last)
    inputs = {m: _tensor(m, x[:ways].reshape(-1, *x.shape[2:])) for m, x in rows.items()}
    if channels_last:
        inputs = {
            m: x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
            for m, x in inputs.items()
        }
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    forward = torch.compile(module) if compiled else module

    def take() -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            z = forward(inputs)
            loss(z.reshape(ways, -1, z.shape[-1]), ways=ways, shots=shots).backward()
            optimizer.step()
        wait()

    return take


def evaluation(images: np.ndarray, *, once: bool, **sizes: int) -> Work:
    """A function that computes `accuracy` by a network that has not learned."""
    torch.manual_seed(0)
    module = _laid_out(OfImages(conv4(1)), True).eval()
    return lambda: accuracy(module, images, once=once, **sizes)


@torch.inference_mode()
def accuracy(
    module: nn.Module,
    images: np.ndarray,
    *,
    ways: int,
    shots: int,
    queries: int,
    episodes: int,
    once: bool,
    layout: torch.memory_format = torch.channels_last,
) -> float:
    """The mean accuracy in episodes of images [C, P, H, W, 1], the rows of each embedded anew, or
    all rows `once` before.
    """
    rng, (classes, number) = np.random.default_rng(0), images.shape[:2]
    rows = _tensor("image", images.reshape(-1, *images.shape[2:]))

    def draw() -> torch.Tensor:
        drawn = rng.permuted(np.tile(np.arange(number), (ways, 1)), axis=1)[:, : shots + queries]
        return torch.as_tensor(number * rng.permutation(classes)[:ways, None] + drawn)

    def embed(x: torch.Tensor) -> torch.Tensor:
        return module({"image": x.contiguous(memory_format=layout)})

    features = torch.cat([embed(x) for x in rows.split(256)]) if once else None
    found = []
    for chosen in (draw() for _ in range(episodes)):
        z = features[chosen] if once else embed(rows[chosen.flatten()])
        answers = logits(z.reshape(ways, shots + queries, -1), shots).argmax(1)
        found.append(answers == targets(ways, queries))
    return torch.stack(found).float().mean().item()


def _laid_out(module: nn.Module, channels_last: bool) -> nn.Module:
    module = module.to(DEVICE)
    return module.to(memory_format=torch.channels_last) if channels_last else module


def _tensor(modality: str, x: np.ndarray) -> torch.Tensor:
    x = torch.as_tensor(x, device=DEVICE)
    if modality == "image":
        return x.movedim(-1, 1).contiguous()
    return x[:, None] if modality == "audio" else x
