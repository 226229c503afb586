"""What the commands share: the config flag and its errors."""

import re
import sys
import traceback
from collections.abc import Callable, Sequence
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
    try:
        return config_flags.DEFINE_config_file("config", str(DEFAULT), "The config file.")
    # The overrides are read here, before other flags are parsed.
    except (AttributeError, KeyError) as error:
        said = str(error).replace("\\n", "; ").replace("\\", "").replace("'", "").strip('"')
        raise SystemExit(f"no such key in the config: {said}") from None


CONFIG = _define_config()


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Runs a command with its flags parsed, libraries' notes held back, and errors in one line."""
    logging.set_verbosity(logging.WARNING)
    getLogger("jax._src.callback").setLevel(CRITICAL)  # `briefly` says it shorter
    compiled.keep()
    app.run(partial(by_flags, partial(briefly, main)))


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
