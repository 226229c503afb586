"""Settings of all tests: compiling is what they spend their time on."""

from pathlib import Path

import jax

CACHE = Path(__file__).parents[1] / ".pytest_cache" / "xla"

jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
jax.config.update("jax_disable_most_optimizations", True)
