"""Compiled programs, kept on disk so that a command that is run again finds them."""

import hashlib
import os
import platform
from pathlib import Path

import jax

from experiments.cache import root

LEAST = 0.1  # seconds of compiling from which a program is kept


def keep() -> None:
    """Has jax keep programs in `folder`, unless it was told of another: JAX_COMPILATION_CACHE_DIR.

    JAX_ENABLE_COMPILATION_CACHE=false keeps none. Where the folder cannot be written none are kept.
    """
    if jax.config.jax_compilation_cache_dir is not None:
        return
    try:
        folder().mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder(), os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(folder()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST)


def folder() -> Path:
    """Where programs lie: of each kind of processor apart, since several may share a home."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    kind = hashlib.sha256(f"{platform.machine()} {features}".encode()).hexdigest()
    return root() / "compiled" / kind[:16]
