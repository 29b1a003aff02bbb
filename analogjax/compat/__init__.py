"""`analogjax.compat` is `compat`, under a name that no other package can take.

    from analogjax import compat
    compat.install()

`analogjax.compat.x.y` is the very module object `compat.x.y`, and `python -m analogjax.compat script.py` does what
`python -m compat script.py` does. Nothing else in `analogjax` imports this package.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

import compat


class _SameModules(MetaPathFinder, Loader):
    """Hands out the modules of `compat` for the names below this one."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module below this package. `__main__` is left to Python, which wants its code."""
        if not fullname.startswith(f"{__name__}.") or fullname.endswith(".__main__"):
            return None
        ours = find_spec(_real(fullname))
        if ours is None:
            return None
        spec = ModuleSpec(fullname, self, origin=ours.origin, is_package=ours.submodule_search_locations is not None)
        spec.loader_state = ours
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module that is there."""
        return importlib.import_module(_real(spec.name))

    def exec_module(self, module: ModuleType) -> None:
        """Give the module its own spec back, on which Python has put that of this name."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


def _real(name: str) -> str:
    return name.removeprefix("analogjax.")


if not any(isinstance(finder, _SameModules) for finder in sys.meta_path):
    # first in line, or Python's own finder would load the files a second time under this name
    sys.meta_path.insert(0, _SameModules())
sys.modules[__name__] = compat
