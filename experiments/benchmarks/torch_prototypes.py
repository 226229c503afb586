"""Training and testing of a prototypical network in PyTorch, as one would write it."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from experiments.benchmarks.contest import Work
from experiments.benchmarks.torch_device import DEVICE, wait
from experiments.benchmarks.torch_networks import OfImages, conv4

Features = Callable[[torch.Tensor], torch.Tensor]  # places of rows [B] -> [B, D]


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
    inputs = {m: as_tensor(m, x[:ways].reshape(-1, *x.shape[2:])) for m, x in rows.items()}
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


def evaluation(embedded: Callable[..., Features], images: np.ndarray, **sizes: int) -> Work:
    """A function that computes `accuracy` by a network that has not learned, in PyTorch's best
    layout; `embedded` is `embedded_once` or `embedded_anew`.
    """
    torch.manual_seed(0)
    module = _laid_out(OfImages(conv4(1)), True).eval()
    return lambda: accuracy(embedded(module, images, torch.channels_last), images, **sizes)


@torch.inference_mode()
def embedded_once(module: nn.Module, images: np.ndarray, layout: torch.memory_format) -> Features:
    """Features of rows chosen of images [C, P, H, W, 1], all of which are embedded before."""
    embed = embedded_anew(module, images, layout)
    z = torch.cat([embed(some) for some in torch.arange(images[..., 0, 0, 0].size).split(256)])
    return lambda chosen: z[chosen]


def embedded_anew(module: nn.Module, images: np.ndarray, layout: torch.memory_format) -> Features:
    """Features of rows chosen of images [C, P, H, W, 1], embedded when they are asked for."""
    rows = as_tensor("image", images.reshape(-1, *images.shape[2:]))
    return lambda chosen: module({"image": rows[chosen].contiguous(memory_format=layout)})


@torch.inference_mode()
def accuracy(
    features: Features, images: np.ndarray, *, ways: int, shots: int, queries: int, episodes: int
) -> float:
    """The mean accuracy in episodes of images [C, P, H, W, 1]."""
    rng, found = np.random.default_rng(0), []
    for _ in range(episodes):
        z = features(draw(rng, images, ways, shots + queries).flatten())
        answers = logits(z.reshape(ways, shots + queries, -1), shots).argmax(1)
        found.append(answers == targets(ways, queries))
    return torch.stack(found).float().mean().item()


def draw(rng: np.random.Generator, images: np.ndarray, ways: int, number: int) -> torch.Tensor:
    """So many rows of each of some classes of images [C, P, ...]: their places [W, number]."""
    classes, most = images.shape[:2]
    drawn = rng.permuted(np.tile(np.arange(most), (ways, 1)), axis=1)[:, :number]
    return torch.as_tensor(most * rng.permutation(classes)[:ways, None] + drawn)


def _laid_out(module: nn.Module, channels_last: bool) -> nn.Module:
    module = module.to(DEVICE)
    return module.to(memory_format=torch.channels_last) if channels_last else module


def as_tensor(modality: str, x: np.ndarray) -> torch.Tensor:
    """Rows of a modality as PyTorch has them: channels before places."""
    x = torch.as_tensor(x, device=DEVICE)
    if modality == "image":
        return x.movedim(-1, 1).contiguous()
    return x[:, None] if modality == "audio" else x
