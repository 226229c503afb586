"""Real pictures beside synthetic ones, a row of them for each class."""

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.plots import MUTED, STYLE, as_svg, new_axes, short

SIDE, GAP = 0.42, 0.3  # inches: of a picture, and between groups
EDGE = 2  # pixels around a picture


@STYLE
def gallery(groups: Mapping[str, np.ndarray], classes: Sequence[str], *, alt: str) -> str:
    """Pictures of the same classes in groups that stand side by side.

    Args:
      groups: title -> [W, G, H, W', C] uint8, as many as the group has for each class.
      classes: [W] names.
      alt: what the figure shows.

    Returns:
      An SVG element.
    """
    counts = [pictures.shape[1] for pictures in groups.values()]
    starts = np.cumsum([0, *(count * SIDE + GAP for count in counts)])[:-1]
    rows = len(classes)
    figure, axes = new_axes((starts[-1] + counts[-1] * SIDE + 1.6, rows * SIDE + 0.4))
    for start, count, (title, pictures) in zip(starts, counts, groups.items(), strict=True):
        extent = (start, start + count * SIDE, rows * SIDE, 0)
        axes.imshow(mosaic(pictures), extent=extent, interpolation="nearest")
        axes.text(start, -0.06, title, color=MUTED, va="bottom")
    axes.set_yticks((np.arange(rows) + 0.5) * SIDE, short(classes))
    axes.set(xticks=[], xlim=(0, starts[-1] + counts[-1] * SIDE), ylim=(rows * SIDE, -0.25))
    axes.spines[:].set_visible(False)
    axes.grid(False)
    return as_svg(figure, alt)


def mosaic(pictures: np.ndarray) -> np.ndarray:
    """[W, G, H, W', C] -> one picture [.., .., 4], clear between those it is made of."""
    colours = np.broadcast_to(pictures, (*pictures.shape[:-1], 3))
    solid = np.concatenate([colours, np.full_like(colours[..., :1], 255)], -1)
    border = ((0, 0), (0, 0), (EDGE, EDGE), (EDGE, EDGE), (0, 0))
    ways, number, height, width, _ = (padded := np.pad(solid, border)).shape
    return padded.transpose(0, 2, 1, 3, 4).reshape(ways * height, number * width, 4)
