"""What every test shares: two host devices, a compilation cache, no windows, and a key."""

import itertools
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
_TWO = "--xla_force_host_platform_device_count"
# both test processes compile at once: splitting one compilation over threads only costs time
_WHOLE = "--xla_cpu_parallel_codegen_split_count"
for _flag, _value in ((_TWO, 2), (_WHOLE, 1)):
    if _flag not in os.environ.get("XLA_FLAGS", ""):  # before JAX starts its backend, and into child processes
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_flag}={_value}".strip()
os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # the compilation cache fills standard error otherwise
sys.path.append(str(ROOT))  # `from tests.tolerance import ...`, whatever folder pytest was started in

import jax  # noqa: E402
import pytest  # noqa: E402

# Compiling is most of the time of a test run, so results are kept between runs, however short or small.
jax.config.update("jax_compilation_cache_dir", os.environ.get("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".jax_cache")))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

_MAPS = Path("/proc/self/maps")
_MOST = 25_000  # memory maps, of which Linux grants a process 65,530; programs compiled for one test take about 75
_ended = itertools.count()


@pytest.hookimpl(trylast=True)  # when what the test has replaced is back
def pytest_runtest_teardown():
    """Drop the compiled programs before their memory maps are so many that the process ends in a segmentation fault."""
    if next(_ended) % 20 == 0 and _MAPS.exists() and _MAPS.read_bytes().count(b"\n") > _MOST:
        jax.clear_caches()


@pytest.fixture
def key():
    """A fresh key of the fast generator."""
    from analogjax import random

    return random.key(0)


@pytest.fixture
def strict_jax():
    """Errors instead of implicit rank or dtype promotion, and instead of using one key twice."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        stack.enter_context(jax.numpy_rank_promotion("raise"))
        stack.enter_context(jax.numpy_dtype_promotion("strict"))
        stack.enter_context(jax.debug_key_reuse(True))
        yield
