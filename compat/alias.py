"""The import hook: `name.x.y` is the very module object `compat.name.x.y`, so classes, pickles and isinstance agree."""

import dis
import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any


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
            raise ModuleNotFoundError(f"{fullname} is not part of analogjax's compat yet.", name=fullname)
        return ModuleSpec(fullname, _Same(), origin=ours.origin, is_package=ours.submodule_search_locations is not None)


class _Same(Loader):
    """Loads nothing: hands out the module that is there."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(f"compat.{spec.name}")
        self.own_spec = module.__spec__
        if "__getattr__" not in vars(module):
            module.__getattr__ = _missing(spec.name)  # type: ignore[method-assign]
        return module

    def exec_module(self, module: ModuleType) -> None:
        # Python has put the alias's spec on the module; pickle and importlib.reload need its own
        module.__spec__ = self.own_spec


def _missing(module: str) -> Callable[[str], Any]:
    """A module's `__getattr__` that says what is missing."""

    def __getattr__(name: str) -> Any:
        message = f"{module}.{name} is not part of analogjax's compat yet."
        frame = sys._getframe(1)
        # only `from module import name` may raise ImportError; hasattr() needs AttributeError
        importing = frame.f_lasti >= 0 and dis.opname[frame.f_code.co_code[frame.f_lasti]] == "IMPORT_FROM"
        if importing and not name.startswith("__"):
            raise ImportError(message, name=module)
        raise AttributeError(message)

    return __getattr__
