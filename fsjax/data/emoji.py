"""The embedded data set: emoji as drawn by design teams, as written and as spoken."""

import hashlib
import io
import json
from importlib import resources

import numpy as np

from fsjax.data.preprocess import bags_of_ngrams, encode_texts
from fsjax.data.table import Rows, Table, rows

SHA256 = "9289001346400b6841bf168920c4d1c97e6b90e91eea2579100fc6428c462de9"
# Latin letters: a name in another script shares no byte with any of these.
LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "nl", "pl", "tr", "id")
# Drawings of one team are near copies of each other.
TEAMS = {
    "noto": 0,
    "noto-v1": 1,
    "twemoji": 2,
    "fluent-emoji-flat": 3,
    "fluent-emoji-high-contrast": 3,
    "emojione": 4,
    "emojione-monotone": 4,
    "fxemoji": 5,
    "streamline-emojis": 6,
    "streamline-emojis2": 6,
}


def emoji(*, languages: tuple[str, ...] = LANGUAGES, length: int = 40, drawings: int = 7) -> Table:
    """The emoji data set that comes with fsjax, three sources paired by class.

    A row of source "image" is one team's drawing, grouped by team; of "text" the name in one
    language; of "audio" the name as eSpeak NG speaks it in one of eight takes. Identical
    drawings that stand in several classes are dropped.

    Args:
      languages: codes of the languages of the names, as in the file's `names`.
      length: bytes of a name that are kept.
      drawings: fewest drawings of a class; classes with fewer leave the set.

    Returns:
      The table: image [N, 32, 32, 3] uint8; text [N, length] int32, UTF-8 bytes plus one;
      audio [N, 48, 32] uint8, log-mel frames of 20 ms, 255 the loudest and 0 at least 70 dB below;
      a class is described by "words" [C, 1024] float32, of its English name and keywords.

    Raises:
      ValueError: if the file is damaged or a language is not in it.
    """
    content = resources.files("fsjax.data").joinpath("emoji.npz").read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ValueError(
            "fsjax/data/emoji.npz is damaged (its digest is not the one released); "
            "install fsjax again, or check out the file again"
        )
    with np.load(io.BytesIO(content)) as file:
        meta = json.loads(file["meta"].tobytes())
        images, labels, style, audio = (file[k] for k in ("images", "cls", "source", "audio"))
    if unknown := sorted(set(languages) - set(meta["names"])):
        raise ValueError(f"no names in {unknown}; the languages are {sorted(meta['names'])}")

    classes = tuple(meta["names"]["en"])
    team = np.array([TEAMS[name] for name in meta["sources"]])[style]
    keep = ~_in_several_classes(images, labels)
    count = np.bincount(labels[keep], minlength=len(classes))
    keep &= count[labels] >= drawings
    kept = np.flatnonzero(count >= drawings)
    renumber = np.cumsum(count >= drawings) - 1
    sources = {
        "image": rows({"image": images[keep]}, renumber[labels[keep]], team[keep]),
        "text": _written([[meta["names"][code][k] for code in languages] for k in kept], length),
        "audio": _spoken(audio[kept]),
    }
    described = [" ".join([classes[k], *meta["keywords_en"][k]]) for k in kept]
    return Table(tuple(classes[k] for k in kept), sources, {"words": bags_of_ngrams(described)})


def _written(names: list[list[str]], length: int) -> Rows:
    per_class = len(names[0])
    flat = [name for of_class in names for name in of_class]
    labels = np.repeat(np.arange(len(names)), per_class)
    language = np.tile(np.arange(per_class), len(names))
    return rows({"text": encode_texts(flat, length)}, labels, language)


def _spoken(takes: np.ndarray) -> Rows:
    classes, per_class = takes.shape[:2]
    frames_first = takes.reshape(classes * per_class, *takes.shape[2:]).swapaxes(1, 2)
    labels = np.repeat(np.arange(classes), per_class)
    return rows({"audio": frames_first.copy()}, labels, np.tile(np.arange(per_class), classes))


def _in_several_classes(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    drawings = np.array([hashlib.sha256(image.tobytes()).digest() for image in images])
    _, same = np.unique(drawings, return_inverse=True)
    pairs = np.unique(np.stack([same, labels]), axis=1)
    return np.bincount(pairs[0])[same] > 1
