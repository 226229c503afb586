"""Measures where a training step of a prototypical network spends its time, part by part.

    python -m experiments.benchmarks.parts [--rows 100]

The parts are those of Conv4-64 on 28 x 28 pixels: the first block, which is computed at once, with
the gradient of its kernel; of each other block a convolution, its kernel's gradient (the inputs'
gradient is a convolution too), and norm, pooling and ReLU with their gradients. Prints medians in
milliseconds for so many rows, inside a scan as in training. Run nothing else meanwhile.
"""

import argparse
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from experiments.benchmarks.contest import median
from experiments.names import count
from fsjax.encoders.convolution import conv3x3, corr3x3
from fsjax.encoders.layers import ConvBlock
from fsjax.encoders.norms import CalibratedNorm
from fsjax.encoders.pooling import max_pool2x2
from fsjax.types import Array, Params

BLOCKS = ((28, 1), (14, 64), (7, 64), (3, 64))  # places in a row, channels
FEATURES, TURNS = 64, 6


def milliseconds(part: Callable[[Array, Array], Array], x: Array, y: Array) -> float:
    """The median of a part of x and y, over the turns of a scan."""

    @jax.jit
    def turns(x: Array, y: Array) -> Array:
        def turn(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
            x, out = carry
            # Each turn depends on the one before, or compilers would do them all at once.
            x = x.at[(0,) * x.ndim].set(out.reshape(-1)[0])
            return (x, part(x, y)), None

        return jax.lax.scan(turn, (x, part(x, y)), None, TURNS)[0]

    return median(lambda: jax.block_until_ready(turns(x, y)), TURNS + 1)


def normed(x: Array, dy: Array) -> Array:
    """The gradient of norm, pooling and ReLU, which has gone through them forward."""
    norm, weight = CalibratedNorm(), jnp.ones(len(x))
    variables = norm.init(jax.random.key(0), x, weight, train=True)

    def forward(x: Array) -> Array:
        return nn.relu(norm.apply(variables, x, weight, train=True, pool=max_pool2x2))

    _, pull = jax.vjp(forward, x)
    return pull(dy)[0]


def block(x: Array, dy: Array) -> Array:
    """The gradient of a block's kernel, which has gone through the block forward."""
    module, weight = ConvBlock(FEATURES), jnp.ones(len(x))
    params = module.init(jax.random.key(0), x, weight, train=True)["params"]

    def forward(params: Params) -> Array:
        return module.apply({"params": params}, x, weight, train=True)

    _, pull = jax.vjp(forward, params)
    return pull(dy)[0]["Conv3x3_0"]["kernel"]


def measure(rows: int, size: int, channels: int) -> dict[str, float]:
    """Part -> milliseconds, of one block."""
    keys = jax.random.split(jax.random.key(0), 4)
    x = jax.random.normal(keys[0], (rows, size, size, channels))
    w = jax.random.normal(keys[1], (3, 3, channels, FEATURES))
    y = jax.random.normal(keys[2], (rows, size, size, FEATURES))
    dy = jax.random.normal(keys[3], (rows, size // 2, size // 2, FEATURES))
    if channels == 1:
        return {"convolution, norm, pooling, ReLU": milliseconds(block, x, dy)}
    return {
        "convolution": milliseconds(conv3x3, x, w),
        "kernel's gradient": milliseconds(corr3x3, x, y),
        "norm, pooling, ReLU": milliseconds(normed, y, dy),
    }


def main() -> None:
    """Prints a line for each block."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.parts")
    parser.description = __doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rows", type=count, default=100, help="of one half of an episode")
    args = parser.parse_args()
    for size, channels in BLOCKS:
        found = measure(args.rows, size, channels)
        told = ", ".join(f"{name} {ms:.1f}" for name, ms in found.items())
        print(f"{size} x {size} x {channels}: {told}", flush=True)


if __name__ == "__main__":
    main()
