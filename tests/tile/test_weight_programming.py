"""The pattern of Rasch et al. 2024, doi:10.1038/s41467-024-51221-z, figures 4 and 6, in `benchmarks/programming.py`.

Each cell: the deviation of a chip's weights from their target after 20,000 vectors, n = 8 chips, key 0, as printed
there; cells are compared by the standard error of the difference of their means.
"""

import functools
import runpy
from pathlib import Path

import jax.numpy as jnp
import pytest

pytestmark = pytest.mark.slow
BENCHMARK = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "programming.py"))


@functools.cache
def cell(name: str, sigma_r: float = 0.0, bound: float = 1.0) -> jnp.ndarray:
    return BENCHMARK["errors"](BENCHMARK["algorithms"](sigma_r, bound)[name], chips=8, vectors=20_000, rate=0.02)


def z(a: jnp.ndarray, b: jnp.ndarray) -> float:
    return float((a.mean() - b.mean()) / jnp.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(a)))


def test_plain_sgd_finds_the_weights_worst() -> None:
    assert z(cell("SGD"), cell("TTv2")) > 6 and z(cell("SGD"), cell("AGAD")) > 6


def test_a_wrong_reference_ruins_ttv2_hurts_choppers_and_leaves_agad_alone() -> None:
    assert z(cell("TTv2", sigma_r=0.5), cell("c-TTv2", sigma_r=0.5)) > 6
    assert z(cell("c-TTv2", sigma_r=0.5), cell("AGAD", sigma_r=0.5)) > 6
    assert abs(z(cell("AGAD", sigma_r=0.5), cell("AGAD"))) < 4


def test_ttv2_needs_asymmetric_devices_and_agad_does_not() -> None:
    assert z(cell("TTv2", bound=20.0), cell("TTv2")) > 6
    assert z(cell("TTv2", bound=20.0), cell("AGAD", bound=20.0)) > 6
    assert abs(z(cell("AGAD", bound=20.0), cell("AGAD"))) < 4
