"""Which methods of a class of ours somebody has replaced: in a subclass, on an instance, or on the class itself.

A class whose methods have a compiled form is `watched`. Where none of them is replaced the compiled form may stand for
it; where one is, the methods themselves have to be called, or the object has to be refused.
"""

import inspect
from typing import Any, TypeVar

_Class = TypeVar("_Class", bound=type)
_MADE: dict[type, dict[str, Any]] = {}


def watched(cls: _Class) -> _Class:
    """Remember the public methods of a class, its bases' among them, as they are now."""
    found = {name: inspect.getattr_static(cls, name) for name in dir(cls) if not name.startswith("_")}
    _MADE[cls] = {
        name: value for name, value in found.items()
        if name != "to_native" and (callable(value) or isinstance(value, (staticmethod, classmethod, property)))
    }  # fmt: skip
    return cls


def replaced(thing: Any) -> list[str]:
    """The names of public methods of `thing` that are not those of the watched class that it is derived from."""
    made = next((_MADE[cls] for cls in type(thing).__mro__ if cls in _MADE), {})
    return [name for name, method in made.items() if inspect.getattr_static(thing, name, None) is not method]


def is_plain(thing: Any) -> bool:
    """Whether `thing` has a compiled form, and nobody has replaced one of its methods."""
    return getattr(type(thing), "_native", None) is not None and not replaced(thing)


def what_is_own(thing: Any) -> str:
    """What makes `thing` other than ours, in words."""
    names = ", ".join(f"{name}()" for name in replaced(thing))
    return f"{type(thing).__name__} has its own {names}" if names else f"{type(thing).__name__} is none of ours"
