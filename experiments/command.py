"""What the commands share: the config flag and its errors."""

import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from logging import CRITICAL, getLogger
from pathlib import Path

from absl import app, flags, logging
from jax.errors import JaxRuntimeError
from ml_collections import config_flags

import fsjax
from experiments import compiled
from fsjax.training.loop import Diverged

OURS = (Path(__file__).parent, Path(fsjax.__file__).parent)
DEFAULT = Path(__file__).parent / "configs" / "emoji.py"


def _define_config() -> flags.FlagHolder:
    """--config, a file with get_config(), whose values --config.key=value override."""
    with _keys_are_known():  # overrides of the default are read here, before flags are parsed
        return config_flags.DEFINE_config_file("config", str(DEFAULT), "The config file.")


@contextmanager
def _keys_are_known() -> Iterator[None]:
    """Raises SystemExit in one line where an override names a key that a config lacks."""
    try:
        yield
    except (AttributeError, KeyError) as error:
        if any(frame.name == "get_config" for frame in traceback.extract_tb(error.__traceback__)):
            raise  # a fault of the file itself
        said = str(error).replace("\\n", "; ").replace("\n", "; ").replace("\\", "")
        said = said.replace("'", "").strip('"')
        raise SystemExit(f"no such key in the config: {said}") from None


def _parsed(argv: Sequence[str]) -> Sequence[str]:
    with _keys_are_known():
        return app.parse_flags_with_usage(argv)


CONFIG = _define_config()


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Runs a command with its flags parsed, libraries' notes held back, and errors in one line."""
    logging.set_verbosity(logging.WARNING)
    getLogger("jax._src.callback").setLevel(CRITICAL)  # `briefly` says it shorter
    compiled.keep()
    app.run(partial(by_flags, partial(briefly, main)), flags_parser=_parsed)


def by_flags(main: Callable[[Sequence[str]], None], argv: Sequence[str]) -> None:
    """Calls a command that takes flags alone.

    Raises:
      SystemExit: if there are other words, as config.seed=1 without its dashes.
    """
    if words := argv[1:]:
        raise SystemExit(f"{Path(argv[0]).stem}: no flag: {' '.join(words)}; write --KEY=VALUE")
    main(argv)


def briefly(main: Callable[[Sequence[str]], None], argv: Sequence[str]) -> None:
    """Calls a command; an error that says what to do ends it in one line.

    Those are the ones raised here or in fsjax, and those of files; a fault that shows in a library
    keeps its traceback.

    Raises:
      SystemExit: with that line.
    """
    try:
        main(argv)
    except JaxRuntimeError as error:
        # Of an error in what a program calls, as a file that it reads, jax keeps the text alone.
        if called := re.findall(r"^(?:ValueError|OSError): (.*)", str(error), re.MULTILINE):
            raise SystemExit(f"{Path(sys.argv[0]).stem}: {called[-1]}") from error
        raise
    except (ValueError, OSError, ImportError, Diverged) as error:
        raised = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if isinstance(error, OSError) or any(map(raised.is_relative_to, OURS)):
            raise SystemExit(f"{Path(sys.argv[0]).stem}: {error}") from error
        raise
