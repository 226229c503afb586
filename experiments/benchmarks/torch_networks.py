"""Networks in PyTorch, as one would write them; they take the inputs of an episode by modality."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import nn

BUCKETS = 32768  # to which n-grams are hashed

Inputs = Mapping[str, torch.Tensor]


def conv4(channels: int, widths: Sequence[int] = (64, 64, 64, 64)) -> nn.Sequential:
    """Images [B, C, H, W] -> [B, D]: convolution, norm, ReLU and pooling, four times."""
    layers: list[nn.Module] = []
    for inputs, width in zip((channels, *widths), widths, strict=False):
        layers += [nn.Conv2d(inputs, width, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten())


class Residual(nn.Module):
    """Three convolutions beside a linear map, and pooling."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        layers: list[nn.Module] = []
        for channels in (inputs, width, width):
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(width), nn.LeakyReLU(0.1)]
        self.layers = nn.Sequential(*layers[:-1])
        line = nn.Conv2d(inputs, width, 1, bias=False)
        self.shortcut = nn.Sequential(line, nn.BatchNorm2d(width))
        self.last = nn.Sequential(nn.LeakyReLU(0.1), nn.MaxPool2d(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.layers(x) + self.shortcut(x))


def resnet12() -> nn.Sequential:
    """Pictures [B, 3, H, W] -> [B, 640], the mean over places."""
    widths = (64, 160, 320, 640)
    blocks = [Residual(*pair) for pair in zip((3, *widths), widths, strict=False)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class OfImages(nn.Module):
    """A network of images alone, uint8."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, inputs: Inputs) -> torch.Tensor:
        return self.network(inputs["image"].float() / 127.5 - 1.0)


class Fused(nn.Module):
    """Image, text and sound by a network each, and attention over the three.

    Texts come as `hashed`, so that finding their n-grams costs nothing here.
    """

    def __init__(self, features: int = 64, heads: int = 4):
        super().__init__()
        self.image, self.audio = conv4(3), conv4(1, (32, 64, 64, 64))
        self.text = nn.EmbeddingBag(BUCKETS, 256, mode="mean")
        widths = {"image": 256, "audio": 384, "text": 256}
        self.norms = nn.ModuleDict({m: nn.LayerNorm(width) for m, width in widths.items()})
        self.keys = nn.ModuleDict({m: nn.Linear(width, features) for m, width in widths.items()})
        self.attention = nn.MultiheadAttention(features, heads, batch_first=True)
        self.read = nn.Sequential(nn.LayerNorm(features), nn.Linear(features, 1, bias=False))

    def forward(self, inputs: Inputs) -> torch.Tensor:
        encoders = {"image": self.image, "audio": self.audio}
        z = {m: f(inputs[m].float() / 127.5 - 1.0) for m, f in encoders.items()}
        z["text"] = self.text(inputs["text"])
        z = {m: self.norms[m](x) for m, x in z.items()}
        keys = torch.stack([self.keys[m](x) for m, x in z.items()], 1)
        keys = keys + self.attention(keys, keys, keys, need_weights=False)[0]
        shares = self.read(keys).softmax(1)
        return torch.cat([x * shares[:, i].sqrt() for i, x in enumerate(z.values())], 1)


def hashed(texts: np.ndarray) -> np.ndarray:
    """Texts [..., L] of bytes as the places [..., N] of their n-grams of one to four bytes."""
    places = []
    for order in range(1, 5):
        last = texts.shape[-1] - order + 1
        place = np.zeros((*texts.shape[:-1], last), np.int64)
        for i in range(order):
            place = (place * 257 + texts[..., i : i + last]) % BUCKETS
        places.append(place)
    return np.concatenate(places, -1)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "conv4": lambda: OfImages(conv4(1)),
    "resnet12": lambda: OfImages(resnet12()),
    "fused": Fused,
}
