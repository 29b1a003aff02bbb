"""Imports go one way: between the parts of the library along the edges of a table, inside each part without circles."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

_GROUND = {"_typing", "_varying", "_field_docs", "_pytree", "_remembered", "_processor", "errors", "random", "_version"}
_TILE = _GROUND | {"physics", "tile"}
_LOOP = _TILE | {"optim", "nn", "data", "store", "experiments"}
# part of the library -> parts that it may import (besides itself)
MAY_IMPORT = {
    **dict.fromkeys(_GROUND, _GROUND),
    "data": _GROUND,
    "store": _GROUND,
    "physics": _GROUND,
    "tile": _TILE,
    "testing": _TILE | {"nn"},
    "optim": _TILE,
    "nn": _TILE,
    "nnx": _TILE | {"nn"},
    "fit": _GROUND | {"physics"},
    "experiments": _LOOP,
    "cloud": _LOOP,
    "callbacks": _LOOP,
    "report": _LOOP,
    "runs_command": _LOOP | {"report"},
    "hardware_options": _TILE,
    "weights_file": _TILE | {"nn"},
    "devices_command": _TILE | {"report", "hardware_options"},
    "train_options": _GROUND | {"hardware_options"},
    "train_command": _LOOP | {"report", "runs_command", "devices_command", "train_options"},
    "infer_command": _LOOP
    | {"report", "runs_command", "devices_command", "train_command", "train_options", "weights_file"},
    "doctor_command": _GROUND | {"data"},
    "report_command": _LOOP | {"report", "runs_command", "devices_command", "train_command", "infer_command"},
    "sweep_command": _LOOP | {"report", "runs_command", "devices_command", "train_command", "train_options"},
    "cli": _LOOP
    | {
        "sweep_command",
        "doctor_command",
        "report_command",
        "cloud",
        "report",
        "runs_command",
        "devices_command",
        "train_command",
        "infer_command",
    },  # the command calls them
    "__main__": {"cli"},
    "analogjax": _LOOP,  # the public names in __init__
    "compat": _LOOP | {"cloud", "report", "cli", "analogjax"},
}
_UPPER = {
    "experiments",
    "infer_command",
    "cloud",
    "report",
    "cli",
    "train_command",
    "sweep_command",
    "report_command",
    "runs_command",
    "devices_command",
    "analogjax",
    "compat",
}
_OF_THE_CLOUD = (
    "fastapi", "starlette", "uvicorn", "sqlalchemy", "alembic", "jwt", "prometheus_client", "pydantic", "ray",
    "google.protobuf",
)  # fmt: skip
# package -> parts that may import it
PACKAGES = {
    "optax": {"optim", "fit"} | _UPPER,
    "flax": {"nn", "nnx", "testing"} | _UPPER,
    "orbax": {"store"},
    "fsspec": {"store"},
    **{name: {"cloud"} for name in _OF_THE_CLOUD},
    "requests": {"cloud", "compat"},
    **{name: {"compat"} for name in ("torch", "torchvision", "tensorflow", "aihwkit", "aitoolbox")},
    "keras": {"compat", "callbacks"},
    **{name: {"callbacks"} for name in ("lightning", "pytorch_lightning")},
}
# the cloud could be a distribution of its own: what else knows it, and which modules of it
CLOUD_FROM = {
    r"analogjax\.cli": r"analogjax\.cloud\.command",
    r"compat\.aihwkit\.(cloud|exceptions)\b.*": r"analogjax\.cloud\b.*",
    r"compat\.keras\.configuration": r"analogjax\.cloud\.(configuration|errors)",  # configurations as plain values
}
# circles that stand for now, each with what will open it; one that is open must go from here
KNOWN_CIRCLES: dict[tuple[str, ...], str] = {}
ONLY_JAX_AND_NUMPY = _GROUND | {"physics", "tile"}  # of packages that are not part of Python


def part(module: str) -> str:
    """`analogjax.physics.drift` -> `physics`; `compat.keras` -> `compat`; `analogjax` -> `analogjax`."""
    first, _, rest = module.partition(".")
    inner = rest.split(".")[0]
    return inner if first == "analogjax" and (inner in MAY_IMPORT or "." in rest) else first


def imported(source: str, module: str, is_package: bool) -> list[tuple[str, str]]:
    """What the text of `module` imports, lazily or not: full names of modules, each with a name from it or `""`."""
    here = module.split(".") if is_package else module.split(".")[:-1]
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = here[: len(here) - node.level + 1] if node.level else []
            base = ".".join([*start, *(node.module or "").split(".")]).strip(".")
            found += [(base, alias.name) for alias in node.names]
        elif isinstance(node, ast.Constant) and re.fullmatch(r"(analogjax|compat)[\w.]*:\w+", str(node.value)):
            found.append((node.value.partition(":")[0], ""))  # a table's row, which is imported when it is asked for
    return found


def imports(source: str, module: str, is_package: bool) -> set[str]:
    """Full names of the modules that the text of `module` imports."""
    # `from analogjax import nn` is an edge to analogjax.nn; of any other module the module itself counts
    return {
        f"{base}.{name}" if name and "." not in base else base for base, name in imported(source, module, is_package)
    }


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """Every import of `module` that the tables do not allow."""
    mine, wrong = part(module), []
    for target in sorted(imports(source, module, is_package)):
        top = target.split(".")[0]
        if top in ("analogjax", "compat", "tests"):
            ok = part(target) == mine or (part(target) in MAY_IMPORT[mine] and _may_know_cloud(module, target))
        else:
            stranger = mine in ONLY_JAX_AND_NUMPY and top not in ("jax", "numpy")
            users = PACKAGES.get(".".join(target.split(".")[:2]), PACKAGES.get(top, {mine}))
            ok = mine in users and not (stranger and top not in sys.stdlib_module_names)
        if not ok:
            wrong.append(f"{module} imports {target}")
    return wrong


def _may_know_cloud(module: str, target: str) -> bool:
    return part(target) != "cloud" or any(
        re.fullmatch(who, module) and re.fullmatch(what, target) for who, what in CLOUD_FROM.items()
    )


def edges(modules: dict[str, tuple[str, bool]]) -> dict[str, set[str]]:
    """For each module those of `modules` that it imports: at its head, in a function, for type checking, by a row."""
    graph = {}
    for module, (source, package) in modules.items():
        found = imported(source, module, package)
        inner = {f"{base}.{name}" if f"{base}.{name}" in modules else base for base, name in found}
        graph[module] = inner & modules.keys() - {module}
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The sets of modules each of which leads to every other one."""
    reach = {name: _reach(graph, name) for name in graph}
    rings = {frozenset(other for other in reach[name] if name in reach[other]) for name in graph}
    return sorted(sorted(ring) for ring in rings if ring)


def _reach(graph: dict[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    left = [start]
    while left:
        new = graph[left.pop()] - found
        found |= new
        left += new
    return found


def sources() -> dict[str, tuple[str, bool]]:
    """Text of every module of the library by its name, and whether it is a package."""
    found: dict[str, tuple[str, bool]] = {}
    for top in ("analogjax", "compat"):
        for path in sorted((ROOT / top).rglob("*.py")):
            names = path.relative_to(ROOT).with_suffix("").parts
            package = names[-1] == "__init__"
            found[".".join(names[:-1] if package else names)] = (path.read_text(), package)
    return found


def test_every_import_goes_down():
    wrong = []
    for module, (source, package) in sources().items():
        assert part(module) in MAY_IMPORT, f"{module} has no row in MAY_IMPORT"
        wrong += violations(source, module, package)
    assert not wrong, "\n".join(wrong)


def test_no_module_leads_back_to_itself():
    """So every module can be read, and tested, after those that it stands on."""
    found = {tuple(name.rpartition(".")[2] for name in ring): ring for ring in circles(edges(sources()))}
    new = [ring for names, ring in found.items() if names not in KNOWN_CIRCLES]
    assert not new, "\n".join("these import one another: " + ", ".join(ring) for ring in new)
    opened = [names for names in KNOWN_CIRCLES if names not in found]
    assert not opened, f"no circle any more, take it from KNOWN_CIRCLES: {opened}"


@pytest.mark.parametrize(
    "back",
    [
        "from analogjax.a import f",
        "import analogjax.a",
        "from . import a",
        "from .a import f",
        "def g():\n    from analogjax import a",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .a import A",
        "ROW = 'analogjax.a:A'",
        "from analogjax import a, __version__",
        "from analogjax.c import h",
    ],
)
def test_a_circle_is_found(back):
    modules = {
        "analogjax": "",
        "analogjax.a": "from .b import g",
        "analogjax.b": back,
        "analogjax.c": "from .a import f",
    }
    graph = edges({name: (source, name == "analogjax") for name, source in modules.items()})
    assert [ring for ring in circles(graph) if {"analogjax.a", "analogjax.b"} <= set(ring)]
    graph["analogjax.b"] = set()
    assert circles(graph) == []


@pytest.mark.parametrize("family", ["devices", "compounds"])
def test_siblings_meet_only_in_shared_modules(family):
    # a module that the package's __init__ exports is a device; the rest, and what is in `parts`, is what devices share
    base, modules = f"analogjax.physics.{family}", sources()
    exported = {one for one in imports(*_with_name(modules, base)) & set(modules) if ".parts." not in one}
    wrong = [
        f"{module} imports {target}"
        for module in exported
        for target in imports(*_with_name(modules, module)) & exported
        if target != module
    ]
    assert exported and not wrong, "\n".join(wrong)


def test_no_two_test_files_share_a_name():
    """pytest imports test files by their name alone: with two of one name, whichever comes second is never run."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


def _with_name(modules: dict, name: str) -> tuple[str, str, bool]:
    source, package = modules[name]
    return source, name, package


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("analogjax.physics.drift", "from analogjax.tile import Tile"),
        ("analogjax.physics.drift", "import optax"),
        ("analogjax.physics.drift", "import scipy.stats"),
        ("analogjax.physics.drift", "def f():\n    from flax import linen"),
        ("analogjax.physics.devices.ideal", "from ...tile.tile import Tile"),
        ("analogjax.physics.drift", "from analogjax import nn"),
        ("analogjax.physics.drift", "from analogjax import AnalogLinear"),
        ("analogjax.random", "import analogjax.physics"),
        ("analogjax.optim.pulsed", "from analogjax.nn import apply"),
        ("analogjax.nn.linear", "import optax"),
        ("analogjax.data.idx", "from analogjax.store import Checkpoints"),
        ("analogjax.experiments.loop", "import orbax.checkpoint as ocp"),
        ("analogjax.experiments.loop", "from compat import install"),
        ("analogjax.cloud.client", "import torch"),
        ("analogjax.cli", "from analogjax.cloud.runner import CloudRunner"),
        ("analogjax", "from analogjax.cloud import CloudRunner"),
        ("analogjax.report.export", "def f():\n    import sqlalchemy.orm"),
        ("compat.aitoolbox.cloud.bucket", "from analogjax.cloud import errors"),
        ("compat.aihwkit.cloud.converter.v1", "from google.protobuf import message"),
        ("compat.keras", "from tests import tolerance"),
    ],
)
def test_a_bad_import_is_found(module, source):
    assert violations(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("analogjax.physics.drift", "import math\nimport jax.numpy as jnp\nfrom analogjax.random import normal"),
        ("analogjax.experiments.loop", "import optax\nfrom analogjax import store, random"),
        ("compat.torch_bridge", "import torch\nfrom analogjax import AnalogLinear\nfrom . import keras"),
        ("analogjax.cli", "from analogjax.cloud.command import add_serve_command"),
        ("compat.aihwkit.cloud.client.session", "import requests\nfrom analogjax.cloud import errors"),
        ("compat.aitoolbox.cloud.GoogleCloud.data_access", "from google.cloud import storage"),
    ],
)
def test_a_good_import_is_not(module, source):
    assert not violations(source, module)
