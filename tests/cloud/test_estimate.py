"""Memory of experiments, estimated before they run: what counts, what is refused, and that the estimate is enough."""

import json
import re
import subprocess
import sys

import pytest

from analogjax.cloud.description import Description
from analogjax.cloud.errors import DescriptionError
from analogjax.cloud.estimate import bytes_of_variables, check_memory, memory_needed
from analogjax.physics import ConstantStep, SoftBounds, Vector
from analogjax.tile import TileConfig
from tests.cloud.experiments import described
from tests.cloud.running_service import ROOT

_GIB = 2**30


def of(**given):
    changes = {key: given.pop(key) for key in ("batch_size",) if key in given}
    return Description.from_json(described(**given) | changes)


def test_every_device_of_every_cell_counts():
    kinds = (ConstantStep(), Vector(devices=(ConstantStep(),) * 8))
    one, two = (of(config=TileConfig(device=device)) for device in kinds)
    cells = 64 * 8 + 8 * 10
    assert bytes_of_variables(of(config=TileConfig())) >= 4 * cells
    assert bytes_of_variables(two) > 6 * bytes_of_variables(one)


def test_layers_batch_and_devices_add_up():
    small = memory_needed(of())
    assert _GIB < small < 1.2 * _GIB
    assert memory_needed(of(hidden=20_000, config=TileConfig(device=SoftBounds()))) > small + 20_000 * 74 * 4 * 4
    more = memory_needed(of(batch_size=60_000, hidden=10_000)) - memory_needed(of(batch_size=1, hidden=10_000))
    assert more > 60_000 * 10_000 * 4


def test_what_is_too_large_is_refused_with_what_to_make_smaller():
    with pytest.raises(DescriptionError, match=r"needs about \d+\.\d GiB.*4\.0 GiB here.*batch of 65536.*smaller"):
        check_memory(of(batch_size=65_536, hidden=60_000), 4 * _GIB)
    check_memory(of(batch_size=65_536, hidden=60_000), None)
    check_memory(of(), 4 * _GIB)


def test_many_different_devices_are_refused_before_anything_is_made_of_them():
    body = described(config=TileConfig(device=Vector(devices=(ConstantStep(),) * 30)))
    layer = body["layers"][1]
    body["layers"] = [body["layers"][0]]
    for n in range(40):
        config = json.loads(json.dumps(layer["config"]))
        config["device"]["devices"][0]["dw_min"] = 0.001 * (n + 1)
        body["layers"].append(layer | {"in_features": 64 if n == 0 else 10, "out_features": 10, "config": config})
    with pytest.raises(DescriptionError, match="of 1000 allowed"):
        Description.from_json(body)
    for other in body["layers"][1:]:
        other["config"] = layer["config"]  # the same in every layer
    Description.from_json(body)


@pytest.mark.slow
@pytest.mark.parametrize("given", [{"hidden": 64}, {"hidden": 4096, "batch_size": 512}, {"hidden": 20_000}])
def test_a_training_stays_below_its_estimate(given):
    """Measured in a process of its own."""
    program = (
        "import json, sys\n"
        "from analogjax.cloud.description import Description\n"
        "from analogjax.experiments import LocalRunner\n"
        "found = Description.from_json(json.loads(sys.argv[1]))\n"
        "LocalRunner().run(found.experiment(), 0, seed=1, progress=False)\n"
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmData')))\n"
    )
    description = of(epochs=1, config=TileConfig(device=SoftBounds()), **given)
    done = subprocess.run(
        [sys.executable, "-c", program, description.text()], capture_output=True, text=True, cwd=ROOT, timeout=500
    )
    assert done.returncode == 0, done.stderr[-2000:]
    used = 1024 * int(re.search(r"VmData:\s+(\d+) kB", done.stdout)[1])
    print(given, used / _GIB, memory_needed(description) / _GIB)
    assert used < memory_needed(description)
