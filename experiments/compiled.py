"""How programs are compiled: kept on disk for the next time, and in haste if they run once."""

import hashlib
import os
import platform
from functools import partial
from pathlib import Path

import jax
import jaxlib.version

from experiments.cache import root

LEAST = 0.1  # seconds of compiling from which a program is kept
# Options of XLA by which it compiles in less time, and programs are slower.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
# Its emitters of before were quicker. Other versions may have none, and refuse what they lack.
if jaxlib.version.__version__.startswith("0.10."):
    QUICK["xla_cpu_use_fusion_emitters"] = False

# `jax.jit` of programs that run once: they take longer to compile than to run.
once = partial(jax.jit, compiler_options=QUICK)


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
