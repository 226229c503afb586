"""Figures of the report as inline SVG, which take their colours and their type from the page."""

import html
import io
import re
import warnings
from collections.abc import Collection, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

# CSS variable -> colour on a light and on a dark page. Figures are drawn in the light colours,
# each of which stands for its variable; that is why no two of them may be equal.
COLOURS = {
    "ink": ("#1f2430", "#e4e7ee"),
    "muted": ("#5f6b7e", "#9aa4b5"),
    "line": ("#dfe3ea", "#333a47"),
    "paper": ("#ffffff", "#14171e"),
    "panel": ("#f6f7f9", "#1b1f28"),
    "right": ("#2c8f4e", "#5cc481"),
    "wrong": ("#cc3530", "#f47d76"),
    "s0": ("#2a66b1", "#79aef0"),
    "s1": ("#d9822a", "#f0ab63"),
    "s2": ("#7b55b5", "#b497ea"),
    "s3": ("#17929c", "#54c9d1"),
    "s4": ("#c04f8c", "#ee8fc1"),
    "s5": ("#8a6b3a", "#cdae78"),
    "s6": ("#6d7584", "#b3bac6"),
    "s7": ("#8a8c1c", "#cdcf62"),
}
INK, MUTED, LINE, PAPER, _, RIGHT, WRONG, *SERIES = (light for light, _ in COLOURS.values())
MARKERS, SIGNS = "os^DvPX*", "●■▲◆▼✚✖★"

STYLE = matplotlib.rc_context(
    {
        "font.size": 9,
        "text.color": INK,
        "text.parse_math": False,  # a dollar sign in a name is a dollar sign
        "axes.edgecolor": LINE,
        "axes.facecolor": "none",
        "axes.labelcolor": MUTED,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": LINE,
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.6,
        "lines.markersize": 4.5,
        "xtick.color": LINE,
        "ytick.color": LINE,
        "xtick.labelcolor": MUTED,
        "ytick.labelcolor": MUTED,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "figure.facecolor": "none",
        "image.composite_image": False,  # pictures side by side stay apart, and clear between
        "svg.fonttype": "none",
        "svg.hashsalt": "fsjax",  # the same figures give the same bytes
    }
)
SMALL = (4.2, 2.8)  # inches; two stand side by side on a desk, one on a phone
PIXELS = 110  # of an inch on a wide screen


def css() -> str:
    """The page's colours as CSS variables, for light and dark."""
    light, dark = (
        ";".join(f"--{name}:{pair[i]}" for name, pair in COLOURS.items()) for i in range(2)
    )
    return f":root{{{light}}}\n@media(prefers-color-scheme:dark){{:root{{{dark}}}}}\n"


def legend(names: Sequence[str], signs: str = SIGNS) -> str:
    """A list in HTML of names with the sign and the colour that each has in the figures."""
    items = (
        f'<li><span style="color:var(--s{i % len(SERIES)})" aria-hidden="true">'
        f"{signs[i % len(signs)]}</span> {html.escape(name)}</li>"
        for i, name in enumerate(names)
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


@STYLE
def curves(
    series: Mapping[str, Sequence[tuple[float, float, float]]],
    order: Sequence[str],
    *,
    xlabel: str,
    percent: bool,
    alt: str,
) -> str:
    """Lines over a common axis, with error bars.

    Args:
      series: name -> points (x, y, half the height of its error bar, zero for none).
      order: all names of the page, so that each keeps its colour and marker.
      xlabel: label of the horizontal axis.
      percent: whether the values are shares of one, shown in percent.
      alt: what the figure shows, for those who cannot see it.

    Returns:
      An SVG element.
    """
    figure, axes = new_axes(SMALL)
    all_x = sorted({x for points in series.values() for x, *_ in points})
    step = 0.012 * (all_x[-1] - all_x[0]) if all_x else 0.0
    for place, (name, points) in enumerate(series.items()):
        x, y, half = np.array(points, float).reshape(-1, 3).T
        if bars := bool(half.any()):  # drawn side by side: bars must not hide each other
            x = x + step * (place - (len(series) - 1) / 2)
        given = np.isfinite(y)
        index = order.index(name)
        axes.errorbar(
            x[given],
            y[given],
            half[given] if bars else None,
            color=SERIES[index % len(SERIES)],
            marker=MARKERS[index % len(MARKERS)] if len(x) <= 12 else None,
            elinewidth=1.2,
            zorder=2 + 1 / (1 + index),
        )
    axes.set_xlabel(xlabel)
    whole = all(float(x).is_integer() for x in all_x)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=whole))
    if whole and len(all_x) <= 6:
        axes.set_xticks(all_x)
    if percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return as_svg(figure, alt)


@STYLE
def confusion(shares: np.ndarray, classes: Sequence[str], *, alt: str) -> str:
    """A confusion matrix whose rows sum to one.

    Args:
      shares: [K, K] by true class (row) and prediction (column).
      classes: [K] names.
      alt: what the figure shows.

    Returns:
      An SVG element.
    """
    number = len(classes)
    side = 0.9 + max(0.2 * number, 2.4)
    figure, axes = new_axes((side + 0.9, side))
    rows, columns = np.nonzero(shares)
    cells = [Rectangle((j - 0.5, i - 0.5), 1, 1) for i, j in zip(rows, columns, strict=True)]
    # Opacity instead of a colour map: it fits a light page and a dark one.
    paint = [matplotlib.colors.to_rgba(SERIES[0], share) for share in shares[rows, columns]]
    axes.add_collection(PatchCollection(cells, facecolors=paint, edgecolors="none"))
    for i, j in zip(rows, columns, strict=True) if number <= 12 else ():
        colour = PAPER if shares[i, j] > 0.55 else INK
        text = f"{100 * shares[i, j]:.0f}"
        axes.text(j, i, text, color=colour, ha="center", va="center", fontsize=8)
    names = short(classes)
    axes.set_xticks(range(number), names, rotation=90, fontsize=7.5)
    axes.set_yticks(range(number), names, fontsize=7.5)
    axes.set(xlim=(-0.5, number - 0.5), ylim=(number - 0.5, -0.5), aspect="equal")
    axes.set_xticks(np.arange(number + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(number + 1) - 0.5, minor=True)
    axes.tick_params(which="minor", length=0)
    axes.grid(False)
    axes.grid(True, which="minor")
    axes.set(xlabel="predicted", ylabel="true")
    return as_svg(figure, alt)


@STYLE
def attention(modalities: Sequence[str], shares: np.ndarray, *, alt: str) -> str:
    """Boxes of the share of attention that each modality gets: 5, 25, 50, 75 and 95 %.

    Args:
      modalities: [M] names.
      shares: [M, B] in 0..1.
      alt: what the figure shows.

    Returns:
      An SVG element.
    """
    figure, axes = new_axes((SMALL[0], 0.8 + 0.5 * len(modalities)))
    rows = np.arange(len(modalities))
    low, left, middle, right, high = np.percentile(shares, (5, 25, 50, 75, 95), axis=1)
    # Drawn by hand: Axes.boxplot imports pyplot, and with it the machine's window system.
    axes.hlines(rows, low, high, color=SERIES[0])
    fill = {"facecolor": PAPER, "edgecolor": SERIES[0]}
    axes.barh(rows, right - left, left=left, height=0.5, zorder=2.5, **fill)
    axes.vlines(middle, rows - 0.25, rows + 0.25, color=SERIES[0], linewidth=2.5, zorder=3)
    means = zip(modalities, shares.mean(1), strict=True)
    axes.set_yticks(rows, [f"{name}  {mean:.0%}" for name, mean in means])
    axes.axvline(1 / len(modalities), color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
    axes.tick_params(axis="y", labelcolor=INK)
    axes.grid(False, axis="y")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.4, -0.6), xlabel="share of attention")
    return as_svg(figure, alt)


def short(names: Sequence[str]) -> list[str]:
    """Names to stand beside an axis, the end of long ones left out."""
    return [name if len(name) <= 28 else f"{name[:27]}…" for name in names]


def new_axes(size: Sequence[float]) -> tuple[Figure, Axes]:
    """A figure of width and height in inches, and the one pair of axes in it."""
    figure = Figure(tuple(size), layout="constrained")
    return figure, figure.subplots()


def as_svg(figure: Figure, alt: str) -> str:
    """The figure as an element to stand in HTML, in the variables of the page."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        # Letters that matplotlib's font lacks are drawn by the browser.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        none = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", dpi=216, metadata=none)
    text = file.getvalue().decode()
    text = text[text.index("<svg") :]
    used = set(re.findall(r"[(\"]#([^)\"]+)", text))
    text = re.sub(r"<[^>]*>", lambda tag: _of_page(tag[0], used), text)
    room = f'style="max-width:{PIXELS * figure.get_figwidth():.0f}px"'
    return text.replace("<svg", f'<svg role="img" aria-label="{html.escape(alt)}" {room}', 1)


def _of_page(tag: str, used: Collection[str]) -> str:
    """A tag in the type and the colours of the page, with its id if that is used."""
    tag = re.sub(r"font(?:-family)?: ([\d.]+px )?[^;\"]*", _font, tag)
    tag = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", tag)
    for name, (light, _) in COLOURS.items():
        tag = tag.replace(light, f"var(--{name})")
    return tag


def _font(match: re.Match[str]) -> str:
    return f"font-size: {match[1].strip()}" if match[1] else "font-family: inherit"
