"""Child processes (multiprocessing's spawn and forkserver) get the same names as their parent.

Such a process reads what it has to prepare before it imports the program again: there it finds a small object that
installs compat as it is read.
"""

from multiprocessing import spawn
from pathlib import Path
from typing import Any

_FIRST = "analogjax.compat"
_ROOT = str(Path(__file__).resolve().parent.parent)


class Installs:
    """What installs compat where it is unpickled."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def __reduce__(self) -> Any:
        # `exec`, because a process that has not prepared itself yet may not find compat by its own means
        program = (
            f"import sys\nsys.path.append({_ROOT!r})\n"
            f"try:\n    import compat\n    compat.take_over({self.names!r})\n"
            f"finally:\n    sys.path.remove({_ROOT!r})"
        )
        return exec, (program,)


def hand_down(names: list[str]) -> None:
    """From now on, child processes get `names` as well."""
    if not hasattr(spawn.get_preparation_data, "names"):
        spawn.get_preparation_data = _prepared(spawn.get_preparation_data)
    known: list[str] = spawn.get_preparation_data.names  # type: ignore[attr-defined]
    known.extend(name for name in names if name not in known)


def _prepared(get: Any) -> Any:
    def get_preparation_data(name: str) -> dict[str, Any]:
        # what is read in order comes first
        return {_FIRST: Installs(list(get_preparation_data.names)), **get(name)}  # type: ignore[attr-defined]

    get_preparation_data.names = []  # type: ignore[attr-defined]
    return get_preparation_data
