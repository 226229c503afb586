"""What the commands share: the config flag and its errors."""

from collections.abc import Callable, Sequence
from pathlib import Path

from absl import app, logging
from ml_collections import config_flags

DEFAULT = Path(__file__).parent / "configs" / "emoji.py"
# --config is a file with get_config(), whose values --config.key=value override.
CONFIG = config_flags.DEFINE_config_file("config", str(DEFAULT), "The config file.")


def parse_flags(argv: Sequence[str]) -> list[str]:
    """Parses flags; a key that the config lacks ends the program, naming the nearest known one."""
    try:
        return app.parse_flags_with_usage(list(argv))
    except AttributeError as error:
        raise SystemExit(f"no such key in the config: {error.args[0]}") from error


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Runs a command with its flags parsed and the libraries' notes held back."""
    logging.set_verbosity(logging.WARNING)
    app.run(main, flags_parser=parse_flags)
