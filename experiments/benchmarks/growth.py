"""Measures how the cost of a training step grows, along one axis after another.

    python -m experiments.benchmarks.growth [--only AXIS ...] [--out growth.html]

From one setting, prototypes of Conv4-64 on 28 x 28 pixels, 10-way, 2 shots, 2 queries, one task a
step, the axes are: tasks, ways, shots, inner steps (of MAML, 5-way 1-shot), modalities (image, text
and sound, fused by attention), and classes and rows of the pool. Prints medians in milliseconds a
step, and by which power of the axis the last doubling grew; the page has a figure for each. Run
nothing else meanwhile.
"""

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from experiments import plots
from experiments.benchmarks import jax_prototypes, rows
from experiments.benchmarks.contest import Work, median
from experiments.configs import omniglot_maml
from experiments.names import pick
from experiments.report import document
from experiments.sections import figure

STEPS = 2
SIZES: Mapping[str, int] = {"ways": 10, "shots": 2, "queries": 2, "steps": STEPS}
MODALITIES = ("image", "text", "audio")


class Axis(NamedTuple):
    """Along which a cost is measured."""

    values: Sequence[int]
    work: Callable[[int], Work]  # `STEPS` steps


def _of_size(name: str, value: int) -> Work:
    """Steps on episodes of so many ways, shots or queries."""
    return jax_prototypes.work(
        jax_prototypes.of_images(), rows.of_images(), **{**SIZES, name: value}
    )


def _of_tasks(tasks: int) -> Work:
    config = jax_prototypes.of_images()
    config.train.tasks = tasks
    return jax_prototypes.work(config, rows.of_images(), **SIZES)


def _of_inner_steps(steps: int) -> Work:
    config = omniglot_maml.get_config()
    config.encoders.image = "conv4"
    config.train.tasks = 1
    config.inner.steps = steps
    sizes = {"ways": 5, "shots": 1, "queries": 5, "steps": STEPS}
    return jax_prototypes.work(config, rows.of_images(), **sizes)


def _of_modalities(number: int) -> Work:
    config = jax_prototypes.fused()
    config.modalities = ",".join(MODALITIES[:number])
    return jax_prototypes.work(config, rows.of_three(), **SIZES)


def _of_pool(classes: int) -> Work:
    return jax_prototypes.work(jax_prototypes.of_images(), rows.of_images(classes=classes), **SIZES)


AXES = {
    "tasks": Axis((1, 2, 4, 8), _of_tasks),
    "ways": Axis((5, 10, 20, 40), partial(_of_size, "ways")),
    "shots": Axis((1, 2, 4, 8), partial(_of_size, "shots")),
    "inner steps": Axis((1, 2, 4), _of_inner_steps),
    "modalities": Axis((1, 2, 3), _of_modalities),
    "classes of the pool": Axis((50, 200, 800, 3200), _of_pool),
}


def measure(axis: Axis) -> dict[int, float]:
    """Value -> the median of milliseconds a step."""
    return {value: median(axis.work(value), STEPS) for value in axis.values}


def power(found: Mapping[int, float]) -> float:
    """By which power of the value the cost grew between the last two: 1 is in proportion."""
    (low, cheap), (high, dear) = list(found.items())[-2:]
    return math.log(dear / cheap) / math.log(high / low)


def page(found: Mapping[str, Mapping[int, float]]) -> str:
    """A figure for each axis."""
    parts = ["<h1>How the cost of a training step grows</h1>"]
    for name, of in found.items():
        points = {"fsjax": [(value, cost, 0.0) for value, cost in of.items()]}
        caption = f"Milliseconds a step by {name}; at the end as their power {power(of):.2f}"
        svg = plots.curves(points, ["fsjax"], xlabel=name, percent=False, alt=caption)
        parts.append(figure(svg, caption))
    return document("How cost grows", parts)


def main() -> None:
    """Prints a line for each axis, and writes the page."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.growth")
    parser.description = __doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", nargs="+", metavar="AXIS", help=", ".join(AXES))
    parser.add_argument("--out", type=Path, default=Path("growth.html"))
    args = parser.parse_args()
    axes = {name: pick(AXES, name, "--only") for name in args.only or AXES}
    found = {}
    for name, axis in axes.items():
        found[name] = measure(axis)
        told = ", ".join(f"{value}: {cost:.1f}" for value, cost in found[name].items())
        print(f"{name:20} {told}; power {power(found[name]):.2f}", flush=True)
        args.out.write_text(page(found), "utf-8")  # after each, so that none is lost


if __name__ == "__main__":
    main()
