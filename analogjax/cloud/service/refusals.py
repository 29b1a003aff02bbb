"""Requests that are not of the form that was agreed on: what was given, and what belongs there, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analogjax.cloud.service.experiments import FILES

_ID = "an id has 8 to 64 letters, digits and hyphens, the first of them no hyphen"
_NAME = "line breaks and other control characters have no place in it"
_PATTERNS = {  # by the place where a text has characters that do not belong there
    "id": _ID, "experiment": _ID, "name": _NAME, "notes": "it has a character NUL",
    "tags": "a tag has no comma, quote, backslash or line break",
}  # fmt: skip
_JSON = "The body is no JSON object: send one, with the header Content-Type: application/json."


def told(error: Mapping[str, Any]) -> tuple[int, str]:
    """Status and message for an error of pydantic."""
    place = [str(part) for part in error["loc"]]
    source, names = place[0], place[1:]
    given = repr(error.get("input"))[:80]
    if source == "path":
        return 404, _of_path(names[-1] if names else "", given)
    if source == "body" and (not names or error["type"] == "json_invalid"):
        return 422, _JSON
    return 422, f"{_shown(names or place)}: {_why(error, names, given)}"


def _of_path(name: str, given: str) -> str:
    if name == "name":
        return f"There is no file {given}; an experiment may have {', '.join(FILES)}."
    if name == "id":
        return f"There is no experiment {given}: {_ID}."
    return f"There is nothing at {given}: {name} can't be that."


def _shown(names: Sequence[str]) -> str:
    return ".".join(names)


def _why(error: Mapping[str, Any], names: Sequence[str], given: str) -> str:
    kind, limits = error["type"], error.get("ctx", {})
    if kind == "missing":
        return "is missing; give it."
    if kind == "extra_forbidden":
        return "is not known here; leave it out."
    if kind == "string_pattern_mismatch":
        where = next((name for name in reversed(names) if name in _PATTERNS), "")
        return f"{given} can't be taken: {_PATTERNS.get(where, 'it has characters that do not belong there')}."
    if kind in ("string_too_long", "too_long"):
        return f"is too long: at most {limits.get('max_length')} are allowed."
    if kind in ("string_too_short", "too_short"):
        return f"is too short: at least {limits.get('min_length')} are needed."
    return f"{given} can't be taken: {_lowered(error['msg'])}."


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


def unknown_place(method: str, path: str, status: int) -> str:
    """Why there is no answer at a path, or none to that method."""
    if status == 405:
        return f"{method[:20]} is not possible at {path[:100]!r}: see /api.html."
    return (
        f"There is nothing at {path[:100]!r}. The API begins with /api/v1 (see /api.html); the address of the service, "
        "api_url, has no path unless a proxy gives it one."
    )
