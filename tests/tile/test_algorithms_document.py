"""docs/algorithms.md as it stands: its program runs, and its table names what `build_config` makes."""

import re
from pathlib import Path

from analogjax import physics
from analogjax.physics import SoftBounds
from analogjax.physics.compounds.parts.fields import parts_of
from analogjax.tile.algorithms import ALGORITHMS, build_config

TEXT = (Path(__file__).parents[2] / "docs" / "algorithms.md").read_text()


def test_its_program_describes_an_experiment() -> None:
    scope: dict = {}
    exec(compile(re.search(r"```python\n(.*?)```", TEXT, flags=re.S)[1], "docs/algorithms.md", "exec"), scope)
    assert "Transfer(devices=(SoftBoundsReference(), SoftBoundsReference())" in str(scope["experiment"])


def test_every_name_is_in_the_table_beside_its_device() -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in TEXT.splitlines() if line.startswith("| `")]
    found = {name: device for names, device in rows for name in re.findall(r"`([^`]+)`", names) if name in ALGORITHMS}
    assert set(found) == set(ALGORITHMS)
    for name, text in found.items():
        made = build_config(name, SoftBounds(), n_devices=2 if name == "residual" else 1).device
        if name == "sgd":
            assert text == "the device itself" and made == SoftBounds()
            continue
        maker = getattr(physics, re.match(r"`(\w+)`", text)[1])
        if isinstance(maker, type):
            assert type(made) is maker
        else:  # made of the same parts
            plain = maker((SoftBounds(),) * 2)
            assert {part: type(value) for part, value in parts_of(made)} == {p: type(v) for p, v in parts_of(plain)}
