"""What the commands share: the config flag and its errors."""

from collections.abc import Callable, Sequence
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

DEFAULT = Path(__file__).parent / "configs" / "emoji.py"


def _define_config() -> flags.FlagHolder:
    """--config, a file with get_config(), whose values --config.key=value override."""
    try:
        return config_flags.DEFINE_config_file("config", str(DEFAULT), "The config file.")
    except AttributeError as error:  # the overrides are read here, before other flags are parsed
        raise SystemExit(f"no such key in the config: {error.args[0]}") from None


CONFIG = _define_config()


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Runs a command with its flags parsed and the libraries' notes held back."""
    logging.set_verbosity(logging.WARNING)
    app.run(main)
