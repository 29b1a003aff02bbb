"""docs/algorithms.md as it stands: its program runs, and its table names what `build_config` makes."""

import re
from pathlib import Path

from analogjax.physics import SoftBounds
from analogjax.tile.algorithms import ALGORITHMS, build_config

TEXT = (Path(__file__).parents[2] / "docs" / "algorithms.md").read_text()


def test_its_program_describes_an_experiment() -> None:
    scope: dict = {}
    exec(compile(re.search(r"```python\n(.*?)```", TEXT, flags=re.S)[1], "docs/algorithms.md", "exec"), scope)
    assert "agad(devices=(SoftBoundsReference(), SoftBoundsReference())" in str(scope["experiment"])


def test_every_name_is_in_the_table_beside_its_device() -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in TEXT.splitlines() if line.startswith("| `")]
    found = {name: device for names, device in rows for name in re.findall(r"`([^`]+)`", names) if name in ALGORITHMS}
    assert set(found) == set(ALGORITHMS)
    for name, device in found.items():
        made = type(build_config(name, SoftBounds(), n_devices=2 if name == "residual" else 1).device).__name__
        assert device.startswith("the device itself" if name == "sgd" else f"`{made}`"), name
