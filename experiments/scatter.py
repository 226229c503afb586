"""The picture of one episode: its rows in the plane, drawn as thumbnails that do not overlap."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from experiments.plots import PAPER, RIGHT, SERIES, STYLE, WRONG, as_svg, new_axes

SCATTER = np.array([460.0, 330.0])  # points
THUMBNAIL = 30.0  # points


@STYLE
def episode(arrays: Mapping[str, np.ndarray], *, alt: str) -> str:
    """One episode in the plane of its first two principal components.

    Args:
      arrays: picture_* of inspection.npz; rows are dots where there are no images.
      alt: what the figure shows.

    Returns:
      An SVG element.
    """
    kinds, labels = arrays["picture_kinds"], arrays["picture_labels"]
    components, share = _principal(np.asarray(arrays["picture_features"], float))
    points = _fit(components)
    figure, axes = new_axes(SCATTER / 72)
    colours = [SERIES[int(way) % len(SERIES)] for way in labels]
    wrong = np.zeros(len(kinds), bool)
    wrong[kinds == "query"] = arrays["picture_predictions"] != labels[kinds == "query"]
    images = arrays.get("picture_images")
    spread = points if images is None else _spread(points, fixed=kinds == "prototype")
    for i in np.flatnonzero(kinds != "prototype"):
        frame = (WRONG if wrong[i] else RIGHT) if kinds[i] == "query" else colours[i]
        dot = {"s": 12, "color": colours[i], "zorder": 2, "linewidths": 0}
        if images is None:
            dot = {"s": 60, "color": colours[i], "edgecolors": frame, "zorder": 2, "linewidths": 2}
        axes.scatter(*points[i], **dot)
        if images is not None:
            _thumbnail(axes, images[i], points[i], spread[i], frame, colours[i], wrong[i])
    for i in np.flatnonzero(kinds == "prototype"):
        style = {"marker": "*", "s": 190, "color": colours[i], "edgecolors": PAPER}
        axes.scatter(*points[i], **style, linewidths=1, zorder=6)
    for axis, part in zip((axes.set_xlabel, axes.set_ylabel), share, strict=True):
        axis(f"principal component, {part:.0%} of the variance")
    axes.spines[:].set_visible(False)
    axes.set(xlim=(0, SCATTER[0]), ylim=(0, SCATTER[1]), xticks=[], yticks=[], aspect="equal")
    return as_svg(figure, alt)


def _principal(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two principal components [N, 2], and the share [2] of the variance in each."""
    left, scale, _ = np.linalg.svd(features - features.mean(0), full_matrices=False)
    left, scale = (np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, 2)]) for x in (left, scale))
    return (left * scale)[:, :2], scale[:2] ** 2 / max((scale**2).sum(), 1e-12)


def _fit(points: np.ndarray) -> np.ndarray:
    """Points scaled, alike in both directions, into SCATTER with room for a thumbnail."""
    low, high = points.min(0), points.max(0)
    scale = ((SCATTER - 2.2 * THUMBNAIL) / np.maximum(high - low, 1e-9)).min()
    return SCATTER / 2 + scale * (points - (low + high) / 2)


def _spread(points: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Places near the points where thumbnails do not cover each other or what is fixed."""
    size = 1.15 * THUMBNAIL
    places = points + np.random.default_rng(0).normal(size=points.shape)
    places[fixed] = points[fixed]
    need = np.where(fixed[:, None] | fixed[None], 0.75 * size, size)
    need -= 2 * size * np.eye(len(points))
    for _ in range(300):
        apart = places[:, None] - places[None]
        lack = need[..., None] - np.abs(apart)
        along = lack == lack.min(-1, keepdims=True)
        push = np.where((lack > 0).all(-1, keepdims=True) & along, np.sign(apart) * lack, 0.0)
        places = places + np.where(fixed[:, None], 0.0, 0.3 * push.sum(1))
        places = np.clip(places, 0.6 * THUMBNAIL, SCATTER - 0.6 * THUMBNAIL)
    return np.where(fixed[:, None], points, places)


def _thumbnail(
    axes: Axes,
    image: np.ndarray,
    point: np.ndarray,
    place: np.ndarray,
    frame: str,
    colour: str,
    dashed: bool,
) -> None:
    """Draws an image at its place in a frame, with a thin line in its colour to its point."""
    image = np.repeat(image, 3, -1) if image.shape[-1] == 1 else image
    picture = OffsetImage(image, zoom=0.72 * THUMBNAIL / max(image.shape[:2]))
    axes.plot(*np.stack([point, place], 1), color=colour, linewidth=0.8, zorder=3)
    box = AnnotationBbox(
        picture,
        tuple(place),
        pad=0.12,
        bboxprops={
            "edgecolor": frame,
            "facecolor": "#fffffe",  # white on a dark page too, and so none of COLOURS
            "linewidth": 1.8,
            "linestyle": (0, (2, 1)) if dashed else "-",
        },
        zorder=4,
    )
    axes.add_artist(box)
