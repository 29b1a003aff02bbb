"""Every public name is documented, and `help()` shows what its fields and methods mean."""

import dataclasses
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import analogjax.nnx
from analogjax import experiments, nn, optim, physics, pytree, store, testing, tile
from analogjax._field_docs import document_fields, field_docs
from analogjax._pytree import _classes
from analogjax.fit import fit_device, fit_noise
from analogjax.report import plot_device
from analogjax.tile.algorithms import build_config

PACKAGES = (
    "analogjax",
    *(f"analogjax.{name}" for name in ("data", "experiments", "fit", "nn", "nnx", "optim", "physics", "report")),
    *(f"analogjax.physics.{name}" for name in ("compounds", "devices", "hardware_aware", "inference")),
    *(f"analogjax.{name}" for name in ("random", "store", "testing", "tile", "tile.algorithms", "tile.presets")),
)
WITH_FIELDS = sorted(
    {value for room in (physics, tile, optim) for value in vars(room).values() if value in _classes or value in
     (tile.Signal, optim.PulsedSGD)}, key=lambda cls: cls.__name__
)  # fmt: skip
DEVICES = [value for value in vars(physics.devices).values() if inspect.isclass(value)]
COMPOUNDS = [physics.Vector, physics.OneSided, physics.MixedPrecision, physics.Transfer]
METHODS = ("granularity", "needs_rest", "fabricate", "write", "update", "rest", "reset_cells", "age")


def public(package: str) -> dict[str, object]:
    """The functions and classes that a package shows, by the name they have there."""
    room = importlib.import_module(package)
    names = getattr(room, "__all__", None) or [name for name in dir(room) if not name.startswith("_")]
    found = {f"{package}.{name}": getattr(room, name) for name in names}
    return {
        name: value
        for name, value in found.items()
        if (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__.startswith("analogjax")
    }


def members(cls: type) -> dict[str, object]:
    """The public methods and properties that a class of the library defines itself or takes from one of its own."""
    return {
        name: member
        for base in cls.__mro__
        if base.__module__.startswith("analogjax")
        for name, member in vars(base).items()
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property))
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_and_its_methods_have_a_docstring(package: str) -> None:
    found = public(package)
    assert found
    silent = [name for name, value in found.items() if not inspect.getdoc(value)]
    for name, value in found.items():
        if inspect.isclass(value):
            silent += [f"{name}.{m}" for m in members(value) if not inspect.getdoc(getattr(value, m))]
    assert silent == []


@pytest.mark.parametrize("cls", WITH_FIELDS, ids=lambda cls: cls.__name__)
def test_every_field_is_explained_in_the_docstring(cls: type) -> None:
    names = [field.name for field in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else cls._fields
    assert set(field_docs(cls)) == set(names)
    words = " ".join(inspect.getdoc(cls).split())
    for name, text in field_docs(cls).items():
        assert text.endswith(".") and text[0] != " "
        assert text in words and f"{name}" in words


def test_the_table_of_classes_with_fields_is_not_empty() -> None:
    assert {physics.SoftBounds, physics.Pulses, physics.Drift, tile.Mapping, tile.TileConfig} <= set(WITH_FIELDS)


@pytest.mark.parametrize("cls", [*DEVICES, *COMPOUNDS], ids=lambda cls: cls.__name__)
def test_methods_of_devices_have_the_docstring_of_the_protocol(cls: type) -> None:
    for name in METHODS:
        if (cls, name) == (physics.MixedPrecision, "granularity"):  # of its digital sum: it says so itself
            continue
        assert inspect.getdoc(getattr(cls, name)) == inspect.getdoc(getattr(physics.Device, name))


def test_a_docstring_of_the_method_itself_wins() -> None:
    @pytree
    class Loud(physics.SoftBounds):
        def rest(self, cells, state, key, alpha=1.0):
            """Sleeps badly."""
            return state

    assert inspect.getdoc(Loud.rest) == "Sleeps badly."


def test_help_shows_inherited_fields_with_their_defaults() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", "from analogjax.physics import PowStep; help(PowStep)"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "dw_min (default 0.001): Mean step of one pulse at w = 0 [w]." in shown
    assert "pow_gamma (default 1.0)" in shown


@pytree
class _Spring:
    """Pulls back."""

    stiffness: float
    """Force per length
    [N/m]."""
    length: float = 1.0  # a comment explains nothing to `help()`
    label: str = dataclasses.field(default_factory=str)
    """What it is called."""


def test_fields_of_a_custom_class_are_listed_in_their_order() -> None:
    assert inspect.getdoc(_Spring) == (
        "Pulls back.\n\nAttributes:\n    stiffness: Force per length [N/m].\n    length (default 1.0)\n"
        "    label (default str()): What it is called."
    )
    assert field_docs(_Spring) == {"stiffness": "Force per length [N/m].", "label": "What it is called."}


def test_a_field_that_a_subclass_defines_anew_is_explained_by_the_subclass() -> None:
    assert field_docs(physics.SoftBoundsPmax)["dw_min"].startswith("Derived")
    assert field_docs(physics.SoftBounds)["dw_min"].startswith("Mean step")


def test_without_source_the_fields_are_listed_all_the_same() -> None:
    scope = {"pytree": pytree, "__name__": "nowhere"}
    exec("@pytree\nclass Bare:\n    'Hidden.'\n    size: int = 3\n    'Lost.'", scope)
    assert inspect.getdoc(scope["Bare"]) == "Hidden.\n\nAttributes:\n    size (default 3)"


def test_a_class_without_fields_keeps_its_docstring() -> None:
    @document_fields
    @dataclasses.dataclass
    class Empty:
        """Nothing in it."""

    assert Empty.__doc__ == Empty().__doc__ == "Nothing in it."


def test_all_modules_have_a_docstring() -> None:
    root = Path(analogjax.__file__).parent
    silent = []
    for path in sorted(root.rglob("*.py")):
        if "migrations" in path.parts or path.name == "__main__.py":
            continue
        source = path.read_text(encoding="utf-8")
        if source.strip() and not source.lstrip().startswith(('"""', 'r"""')):
            silent.append(path.relative_to(root).as_posix())
    assert silent == []


def test_layers_show_their_fields() -> None:
    for layer in (nn.AnalogLinear, nn.AnalogConv1d, nn.AnalogConv2d, nn.AnalogConv3d):
        assert "features: " in layer.__doc__ and "config (default TileConfig())" in layer.__doc__
        assert "parent" not in layer.__doc__


IN_FULL = [
    *(
        getattr(nn, name)
        for name in ("init", "apply", "apply_training", "slots", "unflatten", "max_pool", "Sequential")
    ),
    *(getattr(tile, name) for name in ("create", "create_array", "mvm", "update", "program", "drift", "calibrate")),
    *(getattr(experiments.LocalRunner, name) for name in ("run",)),
    *(getattr(experiments, name) for name in ("run_inference", "nll_loss", "cross_entropy_loss", "mse_loss")),
    *(getattr(optim.PulsedSGD, name) for name in ("init", "update")),
    *(getattr(physics.Device, name) for name in ("fabricate", "write", "update", "rest", "reset_cells", "age")),
    *(getattr(physics, name) for name in ("calibrate", "e_rider", "optimise_programming", "residual", "tiki_taka")),
    *(getattr(experiments, name) for name in ("export_conductances", "import_conductances")),
    *(getattr(store.Checkpoints, name) for name in ("save", "restore")),
    *(fit_device, fit_noise, optim.joined, build_config, plot_device, pytree, store.Location.of, store.Checkpoints),
    *(
        store.read_run,
        store.list_runs,
        store.RunRecord.begin,
        testing.device,
        testing.layer,
        analogjax.nnx.value_and_grad,
    ),
]


@pytest.mark.parametrize("function", IN_FULL, ids=lambda function: function.__qualname__)
def test_arguments_are_explained_one_by_one(function: object) -> None:
    text = inspect.getdoc(function)
    args = re.search(r"^Args:\n((?: .*\n|\n)+)", text + "\n", flags=re.M)
    assert args, f"{text}\nhas no section Args"
    explained = re.findall(r"^    \*{0,2}(\w+): ", args[1], flags=re.M)
    assert explained == [name for name in explained if name in inspect.signature(function).parameters]
    assert set(explained) == set(inspect.signature(function).parameters) - {"self"}
