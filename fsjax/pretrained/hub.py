"""Networks that were downloaded from Hugging Face's hub, found on the disk."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fsjax.pretrained.weights import Weights, read_safetensors

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"


def hub_folder(model: str, files: Sequence[str] = (WEIGHTS, CONFIG)) -> Path:
    """The folder with the files of a network: a plain one, or the hub's snapshot in its cache.

    The cache is $HF_HUB_CACHE, $HF_HOME/hub or ~/.cache/huggingface/hub, the snapshot that of the
    branch main, or the only one.

    Args:
      model: a folder, or the name on the hub, as "openai/clip-vit-base-patch32".
      files: that must be there.

    Raises:
      FileNotFoundError: with the command that downloads them, if they are not there.
    """
    folder = Path(model).expanduser()
    mend = "take another folder, or copy them there"
    if not folder.is_dir():
        folder = _snapshot(model)
        mend = f"hf download {model} {' '.join(files)} (pip install huggingface_hub), or name a "
        mend += "folder that holds them"
    if missing := [name for name in files if not (folder / name).is_file()]:
        raise FileNotFoundError(f"{model} lacks {', '.join(missing)} in {folder}: {mend}")
    return folder


def _snapshot(model: str) -> Path:
    cache = _cache() / f"models--{model.replace('/', '--')}"
    main, snapshots = cache / "refs" / "main", cache / "snapshots"
    if main.is_file():
        return snapshots / main.read_text().strip()
    held = sorted(snapshots.iterdir()) if snapshots.is_dir() else []
    return held[0] if len(held) == 1 else snapshots


def _cache() -> Path:
    if chosen := os.environ.get("HF_HUB_CACHE"):
        return Path(chosen).expanduser()
    home = os.environ.get("HF_HOME", "~/.cache/huggingface")
    return Path(home).expanduser() / "hub"


def hub_weights(folder: Path) -> Weights:
    """The arrays of a network, by name.

    Raises:
      ImportError, ValueError: as `read_safetensors`.
    """
    return read_safetensors(folder / WEIGHTS)


def hub_config(folder: Path, kind: str) -> Mapping[str, Any]:
    """What a network was built with.

    Args:
      folder: that holds it.
      kind: of network, as the file names it.

    Raises:
      ValueError: if the file is damaged, or of another kind.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}); download it again") from error
    found = config.get("model_type") if isinstance(config, dict) else None
    if found != kind:
        raise ValueError(f"{path} is of a network of the kind {found}, not of {kind}")
    return config
