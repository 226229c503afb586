"""Rebuilds the embedded data set `fsjax/data/emoji.npz` from the packages it was made of.

For maintainers; nothing else needs it. Run it from the root of the project, after installing the
artwork and the names into a folder of your choice (here /tmp/emoji) and the tools:

  npm install --prefix /tmp/emoji --ignore-scripts \\
    @iconify-json/noto@1.2.9 @iconify-json/noto-v1@1.2.5 @iconify-json/twemoji@1.2.5 \\
    @iconify-json/fluent-emoji-flat@1.2.6 @iconify-json/fluent-emoji-high-contrast@1.2.6 \\
    @iconify-json/emojione@1.2.3 @iconify-json/emojione-monotone@1.2.1 \\
    @iconify-json/fxemoji@1.2.2 @iconify-json/streamline-emojis@1.2.4 \\
    emojibase-data@17.0.0 cldr-annotations-full@48.2.0 cldr-annotations-derived-full@48.2.0
  pip install fsjax[recipe]
  python -m experiments.make_emoji --npm /tmp/emoji --out /tmp/emoji.npz \\
    --compare fsjax/data/emoji.npz

A class is an emoji that at least seven of the ten sources draw; symbols, flags and components
(skin tones, hair) are left out. The licences of all that goes in are in `fsjax/data/NOTICE`.

The file holds:
  images: [N, 32, 32, 3] uint8, on white.
  cls: [N] int16, the class of each image.
  source: [N] int8, an index into `meta["sources"]`.
  audio: [C, 8, 32, 48] uint8, the log-mel picture of each class's name in each take.
  meta: UTF-8 JSON: names (language -> [C]), keywords_en, hex, emoji, group ([C] each), sources,
    speech (language, voice, rate and pitch of each take).
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

try:
    from experiments import emoji_artwork, emoji_speech
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"no module {error.name}: run `python -m experiments.make_emoji` in the project's root, "
        "after `pip install fsjax[recipe]`",
        name=error.name,
    ) from error

# What the module's docstring says to install; a newer artwork or name list would be another set.
PACKAGES = {
    "@iconify-json/noto": "1.2.9",
    "@iconify-json/noto-v1": "1.2.5",
    "@iconify-json/twemoji": "1.2.5",
    "@iconify-json/fluent-emoji-flat": "1.2.6",
    "@iconify-json/fluent-emoji-high-contrast": "1.2.6",
    "@iconify-json/emojione": "1.2.3",
    "@iconify-json/emojione-monotone": "1.2.1",
    "@iconify-json/fxemoji": "1.2.2",
    "@iconify-json/streamline-emojis": "1.2.4",
    "emojibase-data": "17.0.0",
    "cldr-annotations-full": "48.2.0",
    "cldr-annotations-derived-full": "48.2.0",
}
LANGUAGES = (
    *("en", "de", "fr", "es", "it", "pt", "nl"),  # spoken too
    *("pl", "ru", "tr", "ar", "hi", "ja", "ko", "zh", "id"),
)
GROUPS = frozenset({0, 1, 3, 4, 5, 6, 7})  # emojibase's; 2 components, 8 symbols, 9 flags
FEWEST_SOURCES = 7


def read_json(npm: Path, package: str, path: str) -> Any:
    """Reads a JSON file of an installed npm package."""
    return json.loads((npm / "node_modules" / package / path).read_text("utf-8"))


def missing_packages(npm: Path) -> list[str]:
    """The packages, as `name@version`, that the folder lacks or has in another version."""

    def version(package: str) -> str | None:
        try:
            return read_json(npm, package, "package.json")["version"]
        except FileNotFoundError:
            return None

    return [f"{name}@{wanted}" for name, wanted in PACKAGES.items() if version(name) != wanted]


def describe(
    read: emoji_artwork.Read, language: str, emoji: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Looks up the CLDR short name and the keywords of each emoji in a language.

    Raises:
      ValueError: if CLDR does not name one of them.
    """
    known = {
        **read("cldr-annotations-full", f"annotations/{language}/annotations.json")["annotations"][
            "annotations"
        ],
        **read("cldr-annotations-derived-full", f"annotationsDerived/{language}/annotations.json")[
            "annotationsDerived"
        ]["annotations"],
    }
    # CLDR lists emoji without the selector that asks for their colourful form.
    found = [known.get(each) or known.get(each.replace("\ufe0f", "")) for each in emoji]
    if None in found:
        raise ValueError(f"CLDR has no {language} name of {emoji[found.index(None)]}")
    return [each["tts"][0] for each in found], [each.get("default", []) for each in found]


def build(read: emoji_artwork.Read) -> dict[str, np.ndarray]:
    """Builds the arrays of the data set; the same packages and tools give the same arrays."""
    catalogue = {
        emoji_artwork.plain_code(entry["hexcode"]): entry
        for entry in read("emojibase-data", "en/data.json")
        if "group" in entry  # letters that build flags have none
    }
    labels = {code: entry["label"] for code, entry in catalogue.items()}
    drawings = {
        code: drawn
        for code, drawn in emoji_artwork.find_drawings(read, labels).items()
        if catalogue[code]["group"] in GROUPS and len(drawn) >= FEWEST_SOURCES
    }
    rows = [
        (index, source, drawn[name])
        for index, drawn in enumerate(drawings.values())
        for source, name in enumerate(emoji_artwork.SOURCES)
        if name in drawn
    ]
    print(f"{len(drawings)} classes, {len(rows)} drawings: rendering ...", flush=True)
    images = np.stack([emoji_artwork.render(svg) for _, _, svg in rows])

    emoji = [catalogue[code]["emoji"] for code in drawings]
    described = {language: describe(read, language, emoji) for language in LANGUAGES}
    names = {language: found for language, (found, _) in described.items()}
    print(f"speaking {len(drawings) * len(emoji_speech.TAKES)} names ...", flush=True)
    meta = {
        "names": names,
        "keywords_en": described["en"][1],
        "hex": list(drawings),
        "emoji": emoji,
        "group": [catalogue[code]["group"] for code in drawings],
        "sources": list(emoji_artwork.SOURCES),
        "speech": [take._asdict() for take in emoji_speech.TAKES],
    }
    return {
        "images": images,
        "cls": np.array([index for index, _, _ in rows], np.int16),
        "source": np.array([source for _, source, _ in rows], np.int8),
        "audio": emoji_speech.speak_names(names),
        "meta": np.frombuffer(json.dumps(meta, ensure_ascii=False).encode(), np.uint8),
    }


def _common(new: Sequence[Any], old: Sequence[Any]) -> tuple[list[int], list[int]]:
    """The positions, in each of the two sequences, of the elements that both have."""
    place = {key: position for position, key in enumerate(old)}
    pairs = [(position, place[key]) for position, key in enumerate(new) if key in place]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _verdict(what: str, new: Sequence[Any], old: Sequence[Any]) -> str:
    """One line on whether two lists of distinct elements are equal."""
    if new == old:
        return f"{what}: equal ({len(new)})"
    gone, come = len(set(old) - set(new)), len(set(new) - set(old))
    return f"{what}: DIFFER: {come} new, {gone} gone" + ("" if gone or come else ", other order")


def _distance(what: str, new: np.ndarray, old: np.ndarray, unit: str, scale: float = 1.0) -> str:
    """One line on how far two arrays of bytes lie apart."""
    if new.shape[1:] != old.shape[1:]:
        return f"{what}: DIFFER: shape {new.shape} against {old.shape}"
    apart = np.abs(new.astype(np.int16) - old.astype(np.int16)).reshape(len(new), -1)
    return (
        f"{what}: mean absolute difference {apart.mean() * scale:.4f} {unit}, "
        f"largest {apart.max(initial=0) * scale:.1f}, "
        f"{np.count_nonzero(apart.any(axis=1))} of {len(apart)} differ at all"
    )


def differences(new: Mapping[str, np.ndarray], old: Mapping[str, np.ndarray]) -> list[str]:
    """Says line by line how a rebuilt data set differs from an existing one.

    Names, pictures and speech are compared over the classes, rows and takes that both have.
    """
    metas = [json.loads(bytes(data["meta"])) for data in (new, old)]
    codes = [meta["hex"] for meta in metas]
    rows = [
        [(meta["hex"][i], meta["sources"][s]) for i, s in zip(d["cls"], d["source"], strict=True)]
        for d, meta in zip((new, old), metas, strict=True)
    ]
    takes = [[tuple(take.values()) for take in meta["speech"]] for meta in metas]
    lines = [
        _verdict("classes", *codes),
        _verdict("sources", *(meta["sources"] for meta in metas)),
        _verdict("rows", *rows),
        _verdict("takes", *takes),
        _verdict("languages", *(list(meta["names"]) for meta in metas)),
    ]
    here, there = _common(*codes)
    texts = {f"names {name}": [m["names"].get(name, []) for m in metas] for name in LANGUAGES}
    texts |= {key: [meta[key] for meta in metas] for key in ("keywords_en", "emoji", "group")}
    for key, (ours, theirs) in texts.items():
        equal = sum(ours[i] == theirs[j] for i, j in zip(here, there, strict=True) if theirs)
        lines.append(f"{key}: {equal} of {len(here)} equal")
    for i, j in zip(*_common(*takes), strict=True):
        spoken = new["audio"][here, i], old["audio"][there, j]
        decibels = emoji_speech.RANGE_DB / 255
        lines.append(_distance(f"speech {takes[0][i][1]}", *spoken, "dB", decibels))
    here, there = _common(*rows)
    return [*lines, _distance("images", new["images"][here], old["images"][there], "of 255")]


def main() -> None:
    """Builds, saves and, where asked, compares."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--npm", type=Path, required=True, help="folder of the npm packages")
    parser.add_argument("--out", type=Path, required=True, help="the .npz file to write")
    parser.add_argument("--compare", type=Path, help="an existing .npz file to compare with")
    args = parser.parse_args()
    # Found out now, not after minutes of work.
    if not args.npm.is_dir():
        parser.error(f"--npm: no folder {args.npm}; see --help for what to install into it")
    if missing := missing_packages(args.npm):
        parser.error(
            f"--npm: {args.npm} lacks {len(missing)} of {len(PACKAGES)} packages; run: "
            f"npm install --prefix {args.npm} --ignore-scripts {' '.join(missing)}"
        )
    if not args.out.parent.is_dir():
        parser.error(f"--out: no folder {args.out.parent}")
    if args.compare and not args.compare.is_file():
        parser.error(f"--compare: no file {args.compare}")

    new = build(lambda package, path: read_json(args.npm, package, path))
    old = dict(np.load(args.compare)) if args.compare else None
    with args.out.open("wb") as file:
        np.savez_compressed(file, **new)
    print(f"wrote {args.out}, {args.out.stat().st_size / 1e6:.1f} MB")
    if old is not None:
        print("\n".join(differences(new, old)))


if __name__ == "__main__":
    main()
