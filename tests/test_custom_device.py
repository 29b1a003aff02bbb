"""docs/custom_device.md as it stands: its code runs, is short, and its device keeps the contract."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import physics, pytree, testing

TEXT = (Path(__file__).parents[1] / "docs" / "custom_device.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.S)


def _run() -> dict:
    scope: dict = {"__name__": "custom_device"}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"docs/custom_device.md, block {number + 1}", "exec"), scope)
    return scope


SCOPE = _run()
DomainGrowth = SCOPE["DomainGrowth"]
test_domain_growth = SCOPE["test_domain_growth"]  # the suite, as the page has it


def test_the_device_is_short():
    code = re.sub(r'"""(.*?)"""', "", BLOCKS[0], flags=re.S)
    assert len([line for line in code.splitlines() if line.strip()]) <= 25
    assert DomainGrowth.__module__ == "custom_device"  # nothing of the package


def test_the_chip_of_the_page_is_pulsed():
    w = np.asarray(SCOPE["chip"].state.w)
    assert w.shape == (4, 3) and w.mean() > 0.05


@pytest.mark.parametrize("sign", [1, -1])
def test_its_step_is_the_equation(sign):
    device = DomainGrowth(nucleation=0.1)
    cells = {
        "max_bound": jnp.full((1, 5), 0.6), "min_bound": jnp.full((1, 5), -0.6),
        "dwmin_up": jnp.full((1, 5), 0.02), "dwmin_down": jnp.full((1, 5), 0.01),
    }  # fmt: skip
    w = jnp.linspace(-0.6, 0.6, 5)[None]
    u = np.linspace(0, 1, 5) if sign > 0 else np.linspace(1, 0, 5)
    expected = (0.02 if sign > 0 else 0.01) * (1 - u) * (0.1 + u) / 0.3
    np.testing.assert_allclose(jax.jit(device.step)(cells, w, jnp.asarray(sign > 0))[0], expected, atol=1e-8)


def test_the_suite_is_checked_without_pytest_too():
    with pytest.raises(AssertionError, match="breaks 'it_is_a_device'"):
        testing.check(testing.device(DomainGrowth))  # a class is no device
    assert len(testing.device(DomainGrowth(dw_min=0.01))) > 15

    class Uphill(physics.Nonlinear):
        def step(self, cells, v, up):
            return jnp.where(up, -cells["dwmin_up"], -cells["dwmin_down"])

    with pytest.raises(AssertionError, match=r"breaks 'up_pulses_raise.*pulses UP moved the mean weight by -"):
        testing.check(testing.device(pytree(Uphill)(dw_min=0.01)))
