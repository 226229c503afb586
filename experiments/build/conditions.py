"""From a config to the conditions under which its models are tested."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from experiments.names import check_name, parse_names, parse_pairs, pick
from fsjax.data.pool import check_seen
from fsjax.data.table import Table
from fsjax.episodes import corrupt
from fsjax.episodes.missing import drop_modalities, see_through
from fsjax.types import Array, Episode, Key

MISSING, CROSS, CORRUPT = "missing", "cross", "corrupt"
PARTS = ("support", "query")


class Corruption(NamedTuple):
    """A way to corrupt that a config can name."""

    how: corrupt.Corruption
    low: float  # least level
    high: float  # largest level
    rank: int  # of the modality's values with their rows, 0 for any
    types: str  # of NumPy's kinds of types: f floats, u bytes, i the codes of texts


CORRUPTIONS = {
    "noise": Corruption(corrupt.add_noise, 0.0, math.inf, 0, "fu"),
    "snr": Corruption(corrupt.add_noise_at_snr, -math.inf, math.inf, 0, "fu"),
    "occlusion": Corruption(corrupt.occlude, 0.0, 1.0, 4, "fu"),
    "babble": Corruption(corrupt.add_babble, -math.inf, math.inf, 3, "fu"),
    "bytes": Corruption(corrupt.replace_bytes, 0.0, 1.0, 2, "i"),
}


class Condition(NamedTuple):
    """What is done to test episodes before a model sees them."""

    kind: str  # of the lines of results.jsonl: MISSING, CROSS or CORRUPT
    text: str  # that names it in the config
    told: Mapping[str, Any]  # what its lines say of it
    # Hashable; those that differ in amounts alone are tested by one program.
    change: Callable[[Key, Episode, Any], Episode]
    amounts: Any  # a pytree of arrays
    corrupted: str = ""  # the modality whose values are changed, if any


def conditions(test: ConfigDict, names: Sequence[str]) -> list[Condition]:
    """The conditions that a config asks for.

    Args:
      test: its part of that name, with `missing`, `patterns` and `corrupt`.
      names: of all modalities of the run, whichever a model sees.

    Raises:
      ValueError: if one names what is not there, or a level or rate out of its range.
    """
    ways = ((_missing, test.missing), (_cross, test.patterns), (_corrupted, test.corrupt))
    return [make(text, names) for make, texts in ways for text in parse_names(texts)]


def _missing(text: str, names: Sequence[str]) -> Condition:
    rates = [_rates(side, text, names) for side in text.split(">", 1)]
    told = {"missing": _number(text, text) if _is_number(text) else text}
    return Condition(MISSING, f"missing {text}", told, _hide, _hidden(names, rates=rates))


def _rates(side: str, text: str, names: Sequence[str]) -> dict[str, float]:
    if _is_number(side):
        rates = dict.fromkeys(names, _number(side, text))
    else:
        pairs = [part.rpartition(":") for part in side.split("+")]
        rates = {name: _number(rate, text) for name, _, rate in pairs}
    for name, rate in rates.items():
        check_name(names, name, "test.missing")
        _check_range(rate, 0.0, 1.0, "missing", text)
    return rates


class _Hidden(NamedTuple):
    """Of support and query rows: modality -> rate at which it is dropped, whether it is seen."""

    rates: Sequence[Mapping[str, Array]]
    seen: Sequence[Mapping[str, Array]]


def _hidden(
    names: Sequence[str],
    rates: Sequence[Mapping[str, float]] = ({},),
    seen: Sequence[Sequence[str]] = (),
) -> _Hidden:
    sides = (rates[0], rates[-1])
    shown = seen or (names, names)
    return _arrays(
        _Hidden(
            [{name: side.get(name, 0.0) for name in names} for side in sides],
            [{name: float(name in side) for name in names} for side in shown],
        )
    )


def _hide(key: Key, episode: Episode, hidden: _Hidden) -> Episode:
    (support, query), (shown, asked) = hidden
    left = drop_modalities(key, episode, rate=support, query=query)
    return see_through(left, support=shown, query=asked)


def unchanged(names: Sequence[str]) -> Condition:
    """The condition under which every modality is seen; it shares the program of the others."""
    return Condition(MISSING, "", {}, _hide, _hidden(names))


def _cross(text: str, names: Sequence[str]) -> Condition:
    sides = [tuple(side.split("+")) for side in text.split(">")]
    if len(sides) != 2:
        raise ValueError(
            f"config.test.patterns={text!r} must be modalities of the support set > those of the "
            "query, as text>image or text+audio>image"
        )
    for name in sides[0] + sides[1]:
        check_name(names, name, "test.patterns")
    told = dict(zip(PARTS, map("+".join, sides), strict=True))
    return Condition(CROSS, text, told, _hide, _hidden(names, seen=sides))


class _Corrupt(NamedTuple):
    """Equal ones compile once, unlike functools.partial's."""

    modality: str
    how: corrupt.Corruption
    parts: tuple[str, ...]

    def __call__(self, key: Key, episode: Episode, level: Array) -> Episode:
        wanted = {part: part in self.parts for part in PARTS}
        settings = {"modality": self.modality, "how": self.how, "level": level}
        return corrupt.corrupt(key, episode, **settings, **wanted)


def _corrupted(text: str, names: Sequence[str]) -> Condition:
    modality, how, level, parts = _parse_corruption(text, names)
    change = _Corrupt(modality, how.how, parts)
    return Condition(CORRUPT, text, {"corrupt": text}, change, _arrays(level), modality)


def _parse_corruption(
    text: str, names: Sequence[str]
) -> tuple[str, Corruption, float, tuple[str, ...]]:
    """modality:how:level, or with :support or :query where one of them is spared."""
    modality, name, level, *rest = [*text.split(":"), "", ""][: max(3, text.count(":") + 1)]
    check_name(names, modality, "test.corrupt")
    how = pick(CORRUPTIONS, name, "test.corrupt")
    number = _number(level, text)
    _check_range(number, how.low, how.high, "corrupt", text)
    for part in rest:
        check_name(PARTS, part, "test.corrupt")
    return modality, how, number, tuple(rest) or PARTS


def check_conditions(config: ConfigDict, test: Table) -> None:
    """Checks that the test classes can be tested under the conditions of a config.

    Raises:
      ValueError: as `conditions`; if a class is never seen through a modality that a pattern
        shows; or if a modality's values cannot be corrupted so.
    """
    names = parse_names(config.modalities)
    for condition in conditions(config.test, names):
        if condition.kind == CROSS:
            for part in PARTS:
                check_seen(test, condition.told[part].split("+"))
        if condition.corrupted:
            _, how, *_ = _parse_corruption(condition.text, names)
            values = next(
                rows.values[condition.corrupted]
                for rows in test.sources.values()
                if condition.corrupted in rows.values
            )
            embedded = condition.corrupted in parse_pairs(config.frozen)
            rank, kind = (2, "f") if embedded else (values.ndim, values.dtype.kind)
            if kind not in how.types or rank != (how.rank or rank):
                what = f"of shape {values.shape} and type {values.dtype}"
                raise ValueError(
                    f"config.test.corrupt={condition.text!r}: {condition.corrupted} is "
                    f"{'rows of features, by config.frozen' if embedded else what}, which cannot "
                    "be corrupted so"
                )


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"in the config's test, {whole!r} wants a number, not {text!r}") from None


def _check_range(number: float, low: float, high: float, key: str, text: str) -> None:
    if not (low <= number <= high and math.isfinite(number)):
        raise ValueError(f"config.test.{key}: {text!r} must be within {low:g}..{high:g}")


_arrays = partial(jax.tree.map, partial(jnp.asarray, dtype=jnp.float32))
