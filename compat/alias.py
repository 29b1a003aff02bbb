"""The import hook: `name.x.y` is the very module object `compat.name.x.y`, so classes, pickles and isinstance agree."""

import difflib
import dis
import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from compat.known_names import ALSO_AT, MISSING, MODULES, PLACES


class Alias(MetaPathFinder):
    """Finds `name` and everything below it in `compat.name`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of an aliased module. Raises `ModuleNotFoundError` for a module that we do not have."""
        if fullname != self.name and not fullname.startswith(self.name + "."):
            return None
        ours = find_spec(f"compat.{fullname}")
        if ours is None:
            parent, _, last = fullname.rpartition(".")
            raise ModuleNotFoundError(_lacking(parent, last, _modules_of(parent)), name=fullname)
        return ModuleSpec(fullname, _Same(), origin=ours.origin, is_package=ours.submodule_search_locations is not None)


class _Same(Loader):
    """Loads nothing: hands out the module that is there."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(f"compat.{spec.name}")
        self.own_spec = module.__spec__
        if "__getattr__" not in vars(module):
            module.__getattr__ = _missing(module, spec.name)  # type: ignore[method-assign]
        return module

    def exec_module(self, module: ModuleType) -> None:
        # Python has put the alias's spec on the module; pickle and importlib.reload need its own
        module.__spec__ = self.own_spec


def _missing(module: ModuleType, place: str) -> Callable[[str], Any]:
    """A module's `__getattr__`: finds names that aihwkit also has here, and explains which are missing."""

    def __getattr__(name: str) -> Any:
        package, _, inside = place.partition(".")
        if package == "aihwkit" and name in ALSO_AT.get(inside, "").split():
            return _from_elsewhere(name)
        message = _lacking(place, name, vars(module))
        frame = sys._getframe(1)
        # only `from module import name` may raise ImportError; hasattr() needs AttributeError
        importing = frame.f_lasti >= 0 and dis.opname[frame.f_code.co_code[frame.f_lasti]] == "IMPORT_FROM"
        if importing and not name.startswith("__"):
            raise ImportError(message, name=place)
        raise AttributeError(message)

    return __getattr__


def _from_elsewhere(name: str) -> Any:
    for place in PLACES:
        found = vars(importlib.import_module(f"compat.aihwkit.{place}")).get(name)
        if found is not None:
            return found
    raise AssertionError(f"{name} is nowhere in compat.aihwkit")  # a test goes through all of them


def _modules_of(package: str) -> list[str]:
    spec = find_spec(f"compat.{package}")
    return [module.name for module in pkgutil.iter_modules(spec.submodule_search_locations)] if spec else []


def _lacking(place: str, name: str, present: Iterable[str]) -> str:
    """Whether a name is still to come, or nobody has heard of it."""
    package, _, inside = place.partition(".")
    if package == "torchvision":
        return f"{place}.{name} is not in analogjax's small torchvision. The real one has it: pip install torchvision"
    if package != "aihwkit":
        return f"{place}.{name} is not part of analogjax's compat yet."
    to_come = _to_come(inside)
    if name in to_come:
        return f"{place}.{name} is not part of analogjax's compat yet."
    close = difflib.get_close_matches(name, [*(other for other in present if not other.startswith("_")), *to_come], 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{place} has no name {name!r}, in aihwkit 1.2.0 neither.{hint}"


def _to_come(inside: str) -> list[str]:
    """The names of aihwkit 1.2.0 that a module of ours lacks, its submodules among them."""
    prefix = f"{inside}." if inside else ""
    below = [module.removeprefix(prefix) for module in MODULES.split() if module.startswith(prefix)]
    return [*MISSING.get(inside, "").split(), *(name for name in below if "." not in name)]
