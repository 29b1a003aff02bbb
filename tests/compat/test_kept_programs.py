"""Programs compiled for many configurations in one process don't use up the memory maps that Linux grants it."""

import gc
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import compat
from compat.kept_programs import kept

MAPS = Path("/proc/self/maps")


class _Program:
    """One that refers to itself through its compiled methods, as those of tiles do."""

    def __init__(self, factor):
        self.factor, self.call = factor, jax.jit(self._call)

    def _call(self, x):
        return jnp.sin(x) * self.factor


@pytest.mark.skipif(not MAPS.exists(), reason="memory maps are counted on Linux only")
def test_programs_that_are_dropped_give_their_memory_maps_back():
    made, counts = kept(_Program), []
    for factor in range(3 * 64):
        made(factor).call(1.0)
        if factor % 64 == 63:
            gc.collect()
            counts.append(len(MAPS.read_text().splitlines()))
    first, second, third = counts
    assert made(3 * 64 - 1) is made(3 * 64 - 1)
    # 64 programs are kept at each count; without a limit each later count would be 64 or more higher
    assert third - second < 32 and second - first < 32, counts


def test_what_compiles_keeps_its_programs_within_a_limit():
    endless = re.compile(r"^@(?:functools\.)?cache\b|lru_cache\((?:maxsize=)?None", re.MULTILINE)
    texts = {path.name: path.read_text() for path in Path(compat.__file__).parent.rglob("*.py")}
    compiling = {name for name, text in texts.items() if "jax.jit" in text}
    assert compiling
    assert not {name for name in compiling if endless.search(texts[name])}
