"""A training on Omniglot in PyTorch, as one would write it."""

from pathlib import Path

import numpy as np
import torch

from experiments import build
from experiments.benchmarks import jax_race
from experiments.benchmarks.race import SIZES, STEPS, Racer
from experiments.benchmarks.torch_device import DEVICE
from experiments.benchmarks.torch_networks import OfImages, conv4
from experiments.benchmarks.torch_prototypes import (
    accuracy,
    as_tensor,
    draw,
    embedded_once,
    loss,
)
from fsjax.data.table import Table


def by_class(table: Table) -> np.ndarray:
    """Images [C, P, H, W, 1] of classes that have as many rows each."""
    (rows,) = table.sources.values()
    order = np.argsort(rows.labels, kind="stable")
    images = rows.values["image"][order]
    return images.reshape(len(table.classes), -1, *images.shape[1:])


def racer(data: Path, *, channels_last: bool) -> Racer:
    """The training at its start."""
    config = jax_race.config(data)
    images = {split: by_class(table) for split, table in build.tables(config).items()}
    rows = as_tensor("image", images["train"].reshape(-1, *images["train"].shape[2:]))
    ways, shots = config.train.ways, config.train.shots
    number = shots + config.train.queries
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    module = OfImages(conv4(1)).to(DEVICE, memory_format=layout)
    optimizer = torch.optim.Adam(module.parameters(), lr=config.train.learning_rate)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)

    def step() -> None:
        x = rows[draw(rng, images["train"], ways, number).flatten()]
        optimizer.zero_grad()
        z = module({"image": x.contiguous(memory_format=layout)})
        loss(z.reshape(ways, number, -1), ways=ways, shots=shots).backward()
        optimizer.step()
        rates.step()

    def advance(steps: int) -> None:
        module.train()
        for _ in range(steps):
            step()

    def accuracy_of(split: str) -> float:
        features = embedded_once(module.eval(), images[split], layout)
        return accuracy(features, images[split], **SIZES)

    return Racer(advance, accuracy_of)
