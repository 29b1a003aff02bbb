"""Docstrings of fields and of protocol methods, where `help()` and `inspect.getdoc` find them.

A field is documented by the string literal that follows it, as editors expect. Python throws that literal away, so it
is read from the source, and only when somebody asks for the docstring of the class: importing costs nothing. Where the
source is not available, the fields are listed with their defaults alone.
"""

import ast
import dataclasses
import functools
import inspect
import textwrap
from collections.abc import Collection
from enum import Enum
from itertools import pairwise
from typing import Any, TypeVar

_Class = TypeVar("_Class", bound=type)
_WIDTH = 100


class _DocWithFields:
    """The `__doc__` of a class, completed by its fields when it is read."""

    def __init__(self, own: str | None, hidden: Collection[str]) -> None:
        self.own, self.hidden = own, hidden

    def __get__(self, instance: Any, owner: type) -> str:
        parts = (inspect.cleandoc(self.own or ""), _section(owner, self.hidden))
        return "\n\n".join(part for part in parts if part)


def document_fields(cls: _Class, hidden: Collection[str] = ()) -> _Class:
    """Class decorator: complete the docstring of a dataclass or named tuple with a section on its fields.

    Args:
        cls: The class; its fields may be inherited, and are documented by the string literals that follow them.
        hidden: Names of fields to leave out.

    Returns:
        The same class.
    """
    setattr(cls, "__doc__", _DocWithFields(cls.__doc__, hidden))  # noqa: B010 - mypy knows `__doc__` as a string
    return cls


def field_docs(cls: type) -> dict[str, str]:
    """Explain the fields of a class.

    Args:
        cls: A dataclass or named tuple.

    Returns:
        The docstring of each field that has one, by name, in the order of the fields.
    """
    docs: dict[str, str] = {}
    for owner in reversed(cls.__mro__[:-1]):
        docs |= _own_field_docs(owner)
    return {name: docs[name] for name in _defaults(cls) if name in docs}


def document_methods(cls: type, protocol: type) -> None:
    """Give the methods and properties of `cls` that have no docstring the one of the protocol that they implement."""
    for name, member in vars(cls).items():
        if name[:1] == "_" or not (callable(member) or isinstance(member, property)) or member.__doc__:
            continue
        promised = getattr(protocol, name, None)
        if promised is not None:
            member.__doc__ = promised.__doc__


@functools.cache
def _own_field_docs(cls: type) -> dict[str, str]:
    try:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, TypeError, ValueError, SyntaxError):  # no source, or none that belongs to this class
        return {}
    if not isinstance(definition, ast.ClassDef):
        return {}
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def _section(cls: type, hidden: Collection[str]) -> str:
    docs, lines = field_docs(cls), []
    for name, default in _defaults(cls).items():
        if name in hidden:
            continue
        head = f"{name} (default {default})" if default else name
        text = f"{head}: {docs[name]}" if name in docs else head
        lines.append(textwrap.fill(text, _WIDTH, initial_indent="    ", subsequent_indent="        "))
    return "\n".join(["Attributes:", *lines]) if lines else ""


def _defaults(cls: type) -> dict[str, str]:
    """The fields of a dataclass or named tuple, each with its default as text, empty where there is none."""
    if not dataclasses.is_dataclass(cls):
        given = getattr(cls, "_field_defaults", {})
        return {name: _shown(given[name]) if name in given else "" for name in getattr(cls, "_fields", ())}
    return {field.name: _default_of(field) for field in dataclasses.fields(cls) if not field.name.startswith("_")}


def _default_of(field: dataclasses.Field) -> str:
    if field.default is not dataclasses.MISSING:
        return _shown(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return f"{getattr(field.default_factory, '__name__', 'made')}()"
    return ""


def _shown(default: Any) -> str:
    if isinstance(default, Enum):
        return repr(default.value)
    if inspect.isroutine(default) or inspect.isclass(default):
        return default.__name__
    return repr(default)
