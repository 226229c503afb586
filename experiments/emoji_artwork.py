"""The emoji drawings of the embedded data set: which drawing is which emoji, and its pixels."""

import io
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import resvg_py
from PIL import Image

Read = Callable[[str, str], Any]  # (npm package, path of a JSON file in it) -> its contents

# A source is one style of one icon set; `meta["sources"]` and the array `source` keep this order.
SOURCES = (
    "noto",
    "noto-v1",
    "twemoji",
    "fluent-emoji-flat",
    "fluent-emoji-high-contrast",
    "emojione",
    "emojione-monotone",
    "fxemoji",
    "streamline-emojis",
    "streamline-emojis2",
)
# These sets draw an emoji in several styles and number the icons: "apple-1", "apple-2". Style 1
# has the set's name as its source, style 2 that name followed by 2; style 3 is not a source.
NUMBERED = frozenset({"streamline-emojis"})
ICON_SETS = tuple(name for name in SOURCES if name != "streamline-emojis2")

SIDE = 32
# The published file came by way of 64 pixels. One step from the drawing to 32 would do, but
# would change every picture.
RENDER_WIDTH, HALFWAY = 128, 64


class IconSet(NamedTuple):
    """A set of icons in the format that Iconify publishes."""

    icons: Mapping[str, Mapping[str, Any]]  # name -> body, and where they differ, width and height
    aliases: Mapping[str, str]  # name -> the icon that is the same drawing
    chart: Mapping[str, str]  # code points -> name; empty where the set publishes none
    size: tuple[int, int]  # width, height of an icon that does not state its own


def read_icon_set(read: Read, name: str) -> IconSet:
    """Reads one icon set; its chart's code points come without variation selectors.

    Aliases that turn or reflect their icon are left out: what they show may be another emoji.
    """
    package = f"@iconify-json/{name}"
    data = read(package, "icons.json")
    chart = {}
    for code, icon in read(package, "chars.json").items():
        chart.setdefault(plain_code(code), icon)
    aliases = {
        name: alias["parent"]
        for name, alias in data.get("aliases", {}).items()
        if set(alias) == {"parent"}
    }
    return IconSet(data["icons"], aliases, chart, (data["width"], data["height"]))


def plain_code(code: str) -> str:
    """Code points such as `1f441-200d-1f5e8`: lower case, without the variation selector fe0f."""
    return "-".join(point for point in code.lower().split("-") if point != "fe0f")


def _plain_name(name: str) -> str:
    """A name with only its letters and digits, because each set has its own punctuation."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _code_of_name(labels: Mapping[str, str], sets: Mapping[str, IconSet]) -> dict[str, str]:
    """Finds the code points of every name that an emoji is known by; the first claim stands.

    The sources of names, by falling authority: `labels` (code points -> label), the charts of
    the sets that have one, icons declared to be the same drawing, and Unicode's character names.
    """
    codes: dict[str, str] = {}
    for code, label in labels.items():
        codes.setdefault(_plain_name(label), code)
    for icon_set in sets.values():
        for code, name in icon_set.chart.items():
            if code in labels:
                codes.setdefault(_plain_name(name), code)
    for icon_set in sets.values():
        for name, parent in icon_set.aliases.items():
            pair = _plain_name(name), _plain_name(parent)
            code = codes.get(pair[1]) or codes.get(pair[0])
            if code:
                for each in pair:
                    codes.setdefault(each, code)
    for code in labels:
        if "-" not in code and (name := unicodedata.name(chr(int(code, 16)), "")):
            codes.setdefault(_plain_name(name), code)
    return codes


def _icons_by_name(
    name: str, icon_set: IconSet, codes: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    """Yields (source, code points, icon) of the icons whose names are an emoji's."""
    for icon in icon_set.icons:
        base, style = icon, "1"
        numbered = re.fullmatch(r"(.*)-([123])", icon) if name in NUMBERED else None
        if numbered and _plain_name(icon) not in codes:
            base, style = numbered.groups()
        if code := codes.get(_plain_name(base)):
            yield (name if style == "1" else name + style), code, icon


def _svg(icon_set: IconSet, name: str) -> str:
    """The named icon as an SVG document, black where its colour is left to the reader."""
    icon = icon_set.icons[icon_set.aliases.get(name, name)]
    width, height = (
        icon.get(key, default)
        for key, default in zip(("width", "height"), icon_set.size, strict=True)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}" color="black">'
        f"{icon['body']}</svg>"
    )


def find_drawings(read: Read, labels: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Finds each emoji's drawings: code points -> source -> SVG document.

    Sets with a chart say which icon is which emoji; the icons of the others are found by name.

    Args:
      read: reads a JSON file of a package.
      labels: the emoji to find, code points -> English label.
    """
    sets = {name: read_icon_set(read, name) for name in ICON_SETS}
    codes = _code_of_name(labels, sets)
    drawings: dict[str, dict[str, str]] = {code: {} for code in labels}
    for name, icon_set in sets.items():
        if icon_set.chart:
            known = icon_set.icons.keys() | icon_set.aliases.keys()
            found = ((name, code, icon) for code, icon in icon_set.chart.items() if icon in known)
        else:
            found = _icons_by_name(name, icon_set, codes)
        for source, code, icon in found:
            if source in SOURCES and code in drawings and source not in drawings[code]:
                drawings[code][source] = _svg(icon_set, icon)
    return drawings


def render(svg: str) -> np.ndarray:
    """Draws an SVG document on white as [32, 32, 3] uint8, each channel in steps of 8."""
    png = resvg_py.svg_to_bytes(svg_string=svg, width=RENDER_WIDTH, skip_system_fonts=True)
    drawn = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    longer = max(drawn.size)
    square = Image.new("RGBA", (longer, longer), (0, 0, 0, 0))
    square.paste(drawn, tuple((longer - side) // 2 for side in drawn.size))
    square = square.resize((HALFWAY, HALFWAY), Image.Resampling.LANCZOS)
    page = Image.new("RGBA", square.size, (255, 255, 255, 255))
    page.alpha_composite(square)
    small = page.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
    # Five bits a channel: nearly half the size of the file, and no difference to the eye.
    rounded = (np.asarray(small).astype(np.uint16) + 4) // 8 * 8
    return rounded.clip(0, 255).astype(np.uint8)
