"""The fields of a compound and of its parts by name; no two parts have a field of the same name."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeVar

from analogjax.errors import ConfigError

C = TypeVar("C")


def parts_of(compound: Any) -> Iterator[tuple[str, Any]]:
    """Name and value of each part, a field that has fields itself and is no mere value."""
    for field in dataclasses.fields(compound):
        value = getattr(compound, field.name)
        if dataclasses.is_dataclass(value) and type(value).__module__.startswith(__package__):
            yield field.name, value


def flat(compound: Any) -> dict[str, Any]:
    """All fields by name, with the parts replaced by their fields."""
    parts = dict(parts_of(compound))
    own = {field.name: getattr(compound, field.name) for field in dataclasses.fields(compound)}
    found = {name: value for name, value in own.items() if name not in parts}
    for part in parts.values():
        found |= {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
    return found


def changed(compound: C, **fields: Any) -> C:
    """Change fields of a compound or of its parts by name; whole parts may be given too.

    Raises `ConfigError` for a name that none of them has.
    """
    given, new = dict(fields), {}
    for field in dataclasses.fields(compound):  # type: ignore[arg-type]
        if field.name in given:
            new[field.name] = given.pop(field.name)
    whole = replace(compound, **new) if new else compound  # type: ignore[type-var]
    for name, part in parts_of(whole):
        own = {field.name: given.pop(field.name) for field in dataclasses.fields(part) if field.name in given}
        new |= {name: replace(part, **own)} if own else {}
    if given:
        known = ", ".join(name for name in flat(whole) if name != "devices")
        raise ConfigError(f"{next(iter(given))}: this algorithm has no such field; it has {known}.")
    return replace(compound, **new)  # type: ignore[type-var]
