"""Settings of all tests: compiling is what they spend their time on."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jaxlib.version
import pytest

from experiments import compiled

CACHE = Path(__file__).parents[1] / ".pytest_cache" / "xla"

# Of commands that tests start too. XLA reads its flags when it is first used.
QUICK = dict(compiled.QUICK)
if jaxlib.version.__version__.startswith("0.10."):  # others may refuse flags that they lack
    QUICK["xla_cpu_parallel_codegen_split_count"] = 1  # each worker has a core, and no more
flags = [f"--{name}={value}".lower() for name, value in QUICK.items()]
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *flags])
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(CACHE)
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


@pytest.fixture
def on_devices() -> Callable[..., None]:
    """Runs pytest with arguments in a process that has so many CPU devices."""

    def run(number: int, *arguments: str) -> None:
        program = (
            f"import jax, pytest, sys; assert jax.device_count() == {number}; "
            f"sys.exit(pytest.main(['-q', *{arguments!r}]))"
        )
        flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={number}"
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return run
