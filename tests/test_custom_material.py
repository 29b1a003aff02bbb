"""docs/custom_material.md as it stands: its code runs, is short, and its material keeps the contract."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from analogjax import testing
from tests.tolerance import assert_close

TEXT = (Path(__file__).parents[1] / "docs" / "custom_material.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.S)


def _run() -> dict:
    scope: dict = {"__name__": "custom_material"}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"docs/custom_material.md, block {number + 1}", "exec"), scope)
    return scope


SCOPE = _run()
Ferroelectric = SCOPE["Ferroelectric"]
test_ferroelectric = SCOPE["test_ferroelectric"]  # the suite, as the page has it


def test_the_material_is_short():
    code = re.sub(r'"""(.*?)"""', "", BLOCKS[0], flags=re.S)
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    assert Ferroelectric.__module__ == "custom_material"  # nothing of the package


def test_the_chips_of_the_page_hold_what_they_should():
    w = SCOPE["chip"].read()
    largest = float(jnp.max(jnp.abs(w)))
    programmed, verified = SCOPE["programmed"].tile.read(), SCOPE["verified"].tile.read()
    assert 0 < jnp.max(jnp.abs(programmed - w)) < 0.1 * largest
    assert jnp.max(jnp.abs(verified - w)) <= 0.1 / 10 * largest * (1 + 1e-4)  # 0.1 uS of 10
    lost = np.median(SCOPE["after_a_year"].state.w / programmed)
    assert 0.7 < lost < 0.95  # exp(-(3.15e7 / 1e10)^0.3) = 0.84


def test_its_drift_is_the_equation():
    model = Ferroelectric(spread=0.0, tau=1e6)
    programmed = model.program(jnp.array([[1.0, -0.5]]), jax.random.key(0))
    tau = np.asarray(programmed.memory, np.float64)
    seen = model.drift(programmed, 1e5, jax.random.key(1))
    expected = [np.exp(-((1e5 / tau[0, 0, 0]) ** 0.3)), -0.5 * np.exp(-((1e5 / tau[1, 0, 1]) ** 0.3))]
    assert_close(seen, np.array([expected]), factor=8)  # a power of a quotient


def test_the_largest_answer_is_restored():
    restored = SCOPE["restored"].read()
    programmed = SCOPE["program"](SCOPE["chip"], Ferroelectric(), SCOPE["Largest"](), SCOPE["k_program"])
    ratio = jnp.max(jnp.abs(restored)) / jnp.max(jnp.abs(programmed.tile.read()))
    assert abs(float(ratio) - 1) < 0.25  # each answer is read with the noise of the periphery


def test_the_suite_is_checked_without_pytest_too():
    testing.check(testing.noise_model(Ferroelectric()))
