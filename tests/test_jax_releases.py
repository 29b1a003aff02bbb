"""Faults of jaxlib on CPUs for which `pyproject.toml` excludes releases: a probe for each, and the exclusions."""

import importlib.metadata
import os
import signal
import subprocess
import sys
import time
import tomllib
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests import quick_flags
from tests.conftest import ROOT

FAULTY = {
    "0.10.2": "wrong products (jax-ml/jax#39103), crashes (jax-ml/jax#40412)",
    "0.11.0": "crashes (jax-ml/jax#39257)",
    "0.11.1": "slow writes in loops (jax-ml/jax#40101)",
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CORE = {each.name: each.specifier for each in map(Requirement, PROJECT["dependencies"])}
CONSTRAINTS = sorted(ROOT.glob("constraints*.txt"))


def test_jitted_vmapped_product_equals_eager():
    """Fails on 0.10.2, in silence (jax-ml/jax#39103)."""
    n = 32769  # the smallest batch that went wrong
    rows = jnp.zeros((n, 3), jnp.float32).at[:, 0].set(jnp.arange(n, dtype=jnp.float32))
    energy = jax.vmap(lambda r: jnp.sum((jnp.eye(3) @ r) ** 2))
    expected = np.arange(n, dtype=np.float32) ** 2
    np.testing.assert_array_equal(energy(rows), expected)
    np.testing.assert_array_equal(jax.jit(energy)(rows), expected)


CONTRACTION = """
import sys
import jax, jax.numpy as jnp
left, right = (tuple(map(int, shape.split("x"))) for shape in sys.argv[1:3])
total = jax.jit(lambda a, b: jnp.sum(a * b, axis=int(sys.argv[3])))(jnp.ones(left), 2 * jnp.ones(right))
assert bool(jnp.all(total == 2 * right[int(sys.argv[3])])), total
print("sound")
"""


@pytest.mark.parametrize(
    ("left", "right", "axis"),
    [("5x1x3x2x8x8x8", "5x1x3x2x8x8x8", 3), ("6x4x5x1x1x1x1x1", "6x4x5x9x9x9x9x9", 2)],
    ids=["rank 7", "rank 8"],
)
def test_products_of_seven_and_eight_axes_are_summed(left, right, axis):
    """Ends the process, or hangs, on 0.10.2 and 0.11.0 (jax-ml/jax#39257, jax-ml/jax#40412)."""
    command = [sys.executable, "-c", CONTRACTION, left, right, str(axis)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, "XLA_FLAGS": ""})
    except subprocess.TimeoutExpired:
        pytest.fail(f"jaxlib {importlib.metadata.version('jaxlib')} hangs in a sum over products of many axes")
    if done.returncode < 0:
        pytest.fail(f"jaxlib {importlib.metadata.version('jaxlib')}: {signal.Signals(-done.returncode).name}")
    assert done.stdout.strip() == "sound", done.stderr


def processor_time(function, *args) -> float:
    """The least processor time of three calls in seconds; what else the machine does is not in it."""
    jax.block_until_ready(function(*args))  # compiled
    times = []
    for _ in range(3):
        start = time.process_time()
        jax.block_until_ready(function(*args))
        times.append(time.process_time() - start)
    return min(times)


def test_a_loop_writes_what_changed_and_not_the_whole_array():
    """On 0.11.1, each write of less than 256 bytes in a loop rewrites the array (jax-ml/jax#40101).

    A loop that keeps a number of each step costs about as much as one that keeps none. On 0.11.1 it costs thousands of
    times as much at this length.
    """
    n = 50_000

    def step(kept):
        return jax.jit(lambda x: jax.lax.scan(lambda c, _: (c * 0.999 + 1, c if kept else None), x, None, length=n))

    bare, stacked = processor_time(step(False), 1.0), processor_time(step(True), 1.0)
    assert stacked < 100 * max(bare, 1e-4), f"{stacked} s with the numbers of {n} steps kept, {bare} s without"


@pytest.mark.parametrize("package", ["jax", "jaxlib"])
def test_installed_release_is_none_of_the_faulty(package):
    version = importlib.metadata.version(package)
    assert version not in FAULTY, f"{package} {version}: {FAULTY[version]}; pip install --upgrade jax jaxlib"


@pytest.mark.parametrize(("package", "version"), [*product(["jax", "jaxlib"], FAULTY)])
def test_faulty_releases_are_excluded(package, version):
    assert Version(version) not in CORE[package]


@pytest.mark.parametrize("path", CONSTRAINTS, ids=lambda path: path.name)
def test_constraints_are_within_the_bounds(path):
    pins = dict(line.split("==") for line in path.read_text().splitlines() if line and not line.startswith("#"))
    pinned = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    for name, bounds in CORE.items():
        assert Version(pinned[name]) in bounds, f"{path.name}: {name}"


def test_quick_flags_are_those_that_jaxlib_knows():
    flags = quick_flags.known({"xla_backend_optimization_level": 0, "xla_flag_of_no_release": True})
    assert flags == ["--xla_backend_optimization_level=0"]


def test_quick_flags_start_jax():
    script = ROOT / "tests" / "quick_flags.py"
    printed = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout.strip()
    assert "--xla_backend_optimization_level=0" in printed.split()
    environment = {**os.environ, "XLA_FLAGS": printed}  # a flag that jaxlib does not know ends the process
    subprocess.run([sys.executable, "-c", "import jax; jax.devices()"], check=True, env=environment)
