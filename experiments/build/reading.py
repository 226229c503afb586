"""What a config reads, and the published encoders that it is seen through."""

import os
from collections.abc import Callable

import numpy as np
from ml_collections import ConfigDict

from experiments.names import check_name, parse_names, parse_pairs, pick
from fsjax import pretrained
from fsjax.data import (
    csv_table,
    files,
    grocery,
    npz,
    omniglot,
    speech_commands,
    table,
    tfds,
)
from fsjax.data.columns import find_modalities, kind_in
from fsjax.data.emoji import emoji
from fsjax.data.sheet import open_csv
from fsjax.data.stored import Stored
from fsjax.pretrained.audio_transformer import RATE as AST_RATE
from fsjax.pretrained.soundnet import RATE as SOUNDNET_RATE

DATA: dict[str, Callable[[ConfigDict], table.Table]] = {
    "emoji": lambda data: emoji(),
    "folder": lambda data: files.read_folder(
        data.path,
        image_size=data.image_size,
        frames=data.frames,
        text_length=data.text_length,
        steps=data.steps,
        stream=data.stream,
        **_waves(data),
    ),
    "csv": lambda data: csv_table.read_csv(
        data.path,
        columns=parse_pairs(data.columns),
        label=data.label,
        sizes=files.Sizes(
            image=data.image_size,
            frames=data.frames,
            text=data.text_length,
            steps=data.steps,
            **_waves(data),
        ),
        stream=data.stream,
    ),
    "omniglot": lambda data: omniglot.read_omniglot(data.path, size=data.image_size),
    "grocery": lambda data: grocery.read_grocery(data.path),
    "speech_commands": lambda data: speech_commands.read_speech_commands(data.path),
    "npz": lambda data: npz.read_npz(data.path, modalities=parse_pairs(data.columns)),
    "tfds": lambda data: tfds.read_tfds(
        data.path,
        modalities=parse_pairs(data.columns),
        label=data.label,
        parts=parse_names(data.parts),
        image_size=data.image_size,
        text_length=data.text_length,
        stream=data.stream,
    ),
}
SHIPPED = ("emoji",)  # with the package
MAPPED = ("npz", "tfds")  # whose modalities have the names that config.data.columns gives them
PRETRAINED: dict[str, Callable[[], pretrained.Pretrained]] = {
    "efficientnet_lite0": pretrained.efficientnet_lite0,
    "minilm": pretrained.minilm,
    "conse": pretrained.conse,
    "clip_image": pretrained.clip_image,
    "clip_text": pretrained.clip_text,
    "ast": pretrained.ast,
    "soundnet": pretrained.soundnet,
}
# Those of texts, and the bytes that they are given of one.
READERS, READ = ("minilm", "clip_text"), 1024
# Of those that hear waves: samples a second.
RATES = {"ast": AST_RATE, "soundnet": SOUNDNET_RATE}


def _waves(data: ConfigDict) -> dict[str, int]:
    """How sounds in files are read if an encoder hears waves."""
    if not data.rate:
        return {}
    if (samples := round(data.seconds * data.rate)) < 1:
        raise ValueError(
            f"config.data.seconds={data.seconds} of a sound have no sample: ask for more"
        )
    return {"wave": samples, "sample_rate": data.rate}


def located(path: str) -> str:
    """A path that is not there as it is, in the folder that the variable FSJAX_DATA names.

    A ~ at its beginning is the user's home, which shells leave within --config.data.path=~/FILE.
    """
    path = os.path.expanduser(path)
    there = os.path.join(os.environ.get("FSJAX_DATA", ""), path)
    return there if path and not os.path.exists(path) and os.path.exists(there) else path


def read(config: ConfigDict) -> table.Table:
    """All classes of the data that a config names, with the modalities that it names.

    Raises:
      ValueError: if nothing says where they are or what their modalities are, they lack one or a
        description, or nothing says by which encoder one is seen.
    """
    data = config.data.copy_and_resolve_references()
    with data.unlocked():
        data.update(path=located(data.path), rate=_rate(config), text_length=_text_length(config))
    reader = pick(DATA, data.name, "data.name")
    if data.name in MAPPED and not parse_pairs(data.columns):
        raise ValueError(
            f"config.data.name={data.name} wants config.data.columns, which of its arrays is "
            "which modality, as in image:images,tabular:numbers"
        )
    if data.name not in SHIPPED and not data.path:
        raise ValueError(f"config.data.path is empty: name the file or folder of {data.name} data")
    whole = reader(data)
    described = parse_names(config.side) + parse_names(config.generation.side)
    whole = table.take_modalities(whole, parse_names(config.modalities), described)
    if unknown := set(parse_pairs(config.frozen)) - {*table.modalities(whole), *whole.side}:
        raise ValueError(
            f"config.frozen names {', '.join(sorted(unknown))}, which config.modalities and "
            "config.side do not; name it there too, or take it out"
        )
    for source in whole.sources.values():
        for name, x in source.values.items():
            _check_encoder(config, name, x)
    return whole


def _check_encoder(config: ConfigDict, name: str, x: np.ndarray | Stored) -> None:
    """A modality that no encoder is named for, and which is none of numbers, is refused."""
    named = kind_in(name) in config.encoders or name in parse_pairs(config.frozen)
    numbers = x.ndim == 2 and (x.dtype.kind == "f" or config.data.name == "npz")
    if not named and not numbers:
        raise ValueError(
            f"{name} has rows of shape {list(x.shape[1:])} and type {x.dtype}, and config.encoders "
            f"no encoder of them: let its name tell the kind, one of {', '.join(config.encoders)}, "
            f"as in config.data.columns=image.{name}:COLUMN"
        )


def columns(config: ConfigDict) -> dict[str, tuple[str, ...]]:
    """Modality -> the columns that it is read from, of a CSV; of other data nothing."""
    if config.data.name != "csv":
        return {}
    sheet, said = open_csv(located(config.data.path)), parse_pairs(config.data.columns)
    found = find_modalities(sheet, said, skip=(config.data.label, "group"))
    return {name: found[name].columns for name in parse_names(config.modalities)}


def _text_length(config: ConfigDict) -> int:
    """Bytes of a text in files, more of them for a frozen encoder."""
    frozen = set(READERS) & set(parse_pairs(config.frozen).values())
    return max(config.data.text_length, READ if frozen else 0)


def _rate(config: ConfigDict) -> int:
    """Samples a second of what a frozen encoder hears, 0 if none hears waves.

    Raises:
      ValueError: if two want different ones.
    """
    rates = {RATES[name] for name in parse_pairs(config.frozen).values() if name in RATES}
    if len(rates) > 1:
        raise ValueError(
            "config.frozen names encoders that hear waves of different rates, "
            f"{', '.join(map(str, sorted(rates)))} Hz: take one of them"
        )
    return max(rates, default=0)


def encoders(config: ConfigDict) -> dict[str, pretrained.Pretrained]:
    """Modality or description -> the encoder that it is seen through, of those that stay as they
    are.

    Raises:
      ValueError: if there is none of that name, or images are to be changed before it sees them.
      ImportError: if its weights are not installed.
    """
    names = parse_pairs(config.frozen)
    for name in names.values():
        check_name(PRETRAINED, name, "frozen")
    data, train = config.data, config.train
    changes = {"train.warp": train.warp}
    changes |= {"data.rotations": data.rotations, "data.reflections": data.reflections}
    if "image" in map(kind_in, names) and any(changes.values()):
        key = next(key for key, value in changes.items() if value)
        raise ValueError(
            f"config.{key} changes images that config.frozen has embedded before: leave it at its "
            "default or take image out of config.frozen"
        )
    return {modality: PRETRAINED[name]() for modality, name in names.items()}
