"""Other data than those of a run, as its models see them: tests across data sets."""

from ast import literal_eval
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from experiments import build, cache, inputs
from experiments.configs.emoji import get_config
from experiments.names import check_name
from fsjax.data.columns import kind_in
from fsjax.data.preprocess import resize_image
from fsjax.data.stored import Stored, is_stored
from fsjax.data.table import Table, standardise

Values = np.ndarray | Stored
# What other data are read alike by, unless it is said.
SHARED = ("name", "image_size", "text_length", "frames", "steps", "seconds", "standardise")


def config_of(trained: ConfigDict, words: Sequence[str]) -> ConfigDict:
    """The config of a run with other data.

    Args:
      trained: of the run.
      words: keys of `config.data` with their values, as path=other.csv; others have their default,
        but those of `SHARED` the run's. All classes are tested unless splits are named.

    Raises:
      ValueError: if a key or a value cannot be, or the data are the run's own.
    """
    config = trained.copy_and_resolve_references()
    config.data = get_config().data
    config.data.update({key: trained.data[key] for key in SHARED}, splits="all")
    for word in words:
        key, _, value = word.partition("=")
        check_name(tuple(config.data), key, "--data")
        if not isinstance(config.data[key], str):
            value = _value(word, value)
        try:
            config.data[key] = value
        except TypeError as error:
            raise ValueError(f"--data {word}: {error}") from error
    if all(config.data[key] == trained.data[key] for key in ("name", "path")):
        raise ValueError("--data names the data of the run itself: leave it out, or name others")
    return config


def _value(word: str, text: str) -> object:
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError) as error:
        raise ValueError(f"--data {word}: {text!r} is no number, nor True or False") from error


def prepared(trained: ConfigDict, asked: ConfigDict, names: Sequence[str]) -> build.Data:
    """The data of a run whose test classes are those of other data, read and scaled as the run's.

    Args:
      trained: the config of the run.
      asked: with other data, of `config_of`.
      names: of the models that see them.

    Raises:
      ValueError: if the data are not as the run's models know them, or too few.
    """
    own = build.prepared(trained, names)
    if asked.data.name == trained.data.name == "csv" and not asked.data.columns:
        named = (f"{name}:{'+'.join(columns)}" for name, columns in own.columns.items())
        asked = asked.copy_and_resolve_references()
        asked.data.columns = ",".join(named)  # in the order in which the run knows them
    frozen = build.encoders(asked)
    whole = _alike(build.read(asked), own.read, {name for name in own.read if name not in frozen})
    whole = cache.embedded(whole, frozen) if frozen else whole
    test = standardise(build.split(asked, whole)["test"], own.scales)
    tables = own.tables | {"test": test}
    build.check_parts(asked, {split: tables[split] for split in build.HELD_OUT})
    return own._replace(tables=tables)


def _alike(whole: Table, rows: Mapping[str, jax.ShapeDtypeStruct], names: set[str]) -> Table:
    """A table whose rows of these modalities are as those of a run."""

    def change(name: str, x: Values) -> Values:
        if name not in names or is_stored(x):
            return x
        pictures = kind_in(name) == "image" and x.dtype == rows[name].dtype == np.uint8
        fitted = fitted_pictures(x, rows[name].shape) if pictures else x
        return inputs.alike(fitted, rows[name], name)

    sources = {
        title: source._replace(values={m: change(m, x) for m, x in source.values.items()})
        for title, source in whole.sources.items()
    }
    return whole._replace(sources=sources)


def fitted_pictures(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Pictures as files are fitted to a run's, in grey or in colour as its own are.

    Args:
      x: [N, H, W], [N, H, W, 1] or [N, H, W, 3] uint8.
      shape: of a square picture of the run, [S, S], [S, S, 1] or [S, S, 3].

    Returns:
      [N, *shape] uint8; as they are if they have that shape.
    """
    if x.shape[1:] == shape:
        return x
    grey = shape[2:] != (3,)
    plain = x[..., 0] if x.shape[3:] == (1,) else x

    def fitted(picture: np.ndarray) -> np.ndarray:
        colour = Image.fromarray(resize_image(Image.fromarray(picture), shape[0]))
        return np.asarray(colour.convert("L") if grey else colour).reshape(shape)

    return np.stack([fitted(picture) for picture in plain])


def told_twice(data: build.Data) -> str:
    """A sentence on test classes that are called as classes that the run has seen; else nothing."""
    seen = {name for split in ("train", "validation") for name in data.tables[split].classes}
    test = data.tables["test"].classes
    if not (both := [name for name in test if name in seen]):
        return ""
    return (
        f"{len(both)} of {len(test)} classes, such as {both[0]}, are called as classes that the "
        "run has seen: results are of new classes only if those are others"
    )
