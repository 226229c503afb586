"""Names in a config, and what is said of those that nothing has."""

import difflib
from argparse import ArgumentTypeError
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any


def as_path(text: str) -> Path:
    """The path that a flag names, `~` the home directory: shells leave it in --flag=~/folder."""
    return Path(text).expanduser()


def count(text: str) -> int:
    """The number that a flag says, of things of which there is one at least."""
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is not 1 or more")
    return int(text)


def pick(choices: Mapping[str, Any], name: str, key: str) -> Any:
    """choices[name]; raises ValueError with the nearest name known if there is none."""
    check_name(choices, name, key)
    return choices[name]


def named(choices: Mapping[str, Any], config: Mapping[str, Any], key: str) -> Any:
    """What config[key] names among the choices; raises ValueError as `pick`."""
    return pick(choices, config[key], key)


def check_name(choices: Collection[str], name: str, key: str) -> None:
    """Raises ValueError with the nearest name known if `name` is not among the choices.

    The key is one of the config, or the flag of a command, as --model.
    """
    if name in choices:
        return
    near = difflib.get_close_matches(str(name), choices, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    where = key if key.startswith("--") else f"config.{key}"
    raise ValueError(f"{where}={name!r} is not one of {', '.join(choices)}{hint}")


def setting(asked: Mapping[str, Any]) -> str:
    """Ways and shots of episodes; shots may be a range."""
    shots = asked["shots"]
    told = str(shots) if isinstance(shots, int) else "-".join(map(str, shots))
    return f"{asked['ways']}-way {told}-shot"


def parse_names(names: str) -> tuple[str, ...]:
    """The names in a string like "image,text"."""
    return tuple(name.strip() for name in names.split(",") if name.strip())


def parse_pairs(pairs: str) -> dict[str, str]:
    """The pairs in a string like "image:images,tabular:margin".

    Raises:
      ValueError: if a name stands alone.
    """
    for pair in parse_names(pairs):
        if ":" not in pair:
            raise ValueError(f"{pair!r} in {pairs!r} is no pair: write {pair}:NAME")
    split = (pair.split(":", 1) for pair in parse_names(pairs))
    return {name.strip(): value.strip() for name, value in split}
