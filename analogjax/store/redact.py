"""Removes secrets from records: command lines, error messages, configurations.

Recognised are values next to names that suggest secrets (`--token X`, `password=X`, `&X-Amz-Signature=X`),
`user:password@` in URLs, and the well-known formats of keys (AWS, Google, GitHub, ...). A secret without such a mark
looks like any other word: pass it through the environment or a file, as with the providers' own tools.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

STARS = "***"

# of options, environment variables and query parameters: any part of the name counts
_SECRET_PART = re.compile(r"token|secret|passw|passphrase|credential|key|signature|auth(?!or)", re.IGNORECASE)
# of fields of a configuration, where "tokenizer" and "key" are everyday words: whole words, and text values only
_SECRET_WORDS = re.compile(
    r"(^|_)(token|secret|password|passwd|passphrase|credentials?|(api|access|secret|private|account)_?key)(_|$)"
)
_SHAPES = (
    re.compile(r"(?<=://)[^/\s@:]*:[^\s'\"]*(?=@)"),  # user:password@host; people put passwords with / and @ there
    re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{12,}\b"),
    re.compile(r"\bAIza[0-9A-Za-z_-]{30,}"),
    re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-|hf_|xox[abpsr]-|sk-|ya29\.)[0-9A-Za-z_.-]{16,}"),
    re.compile(r"\beyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]+\.[0-9A-Za-z_-]*"),  # a JSON web token
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"(?i)(?<=bearer )[^\s'\"]+|(?<=basic )[0-9A-Za-z+/]{8,}=*"),
)
_VALUE = r"""(?P<value>'[^']*'|"[^"]*"|[^\s'",;&)}\]]+)"""
_ASSIGNED = re.compile(r"(?P<name>[\w.-]+)(?P<between>\s*=\s*)" + _VALUE)
_ENTRY = re.compile(r"""(?P<name>[\w.-]+)(?P<between>['"]?\s*:\s*)(?!//)""" + _VALUE)

_OPTION = re.compile(r"--\w|-[A-Za-z]$")  # a value may start with a dash


def text(value: str) -> str:
    """`value` with every recognisable secret replaced by `***`."""
    for shape in _SHAPES:
        value = shape.sub(STARS, value)
    value = _ASSIGNED.sub(lambda match: _starred(match, _SECRET_PART.search(match["name"])), value)
    # "key: the last one" is prose; before a colon the name must be plainly that of a secret
    return _ENTRY.sub(lambda match: _starred(match, _SECRET_WORDS.search(_words(match["name"]))), value)


def _starred(match: re.Match[str], secret: object) -> str:
    return f"{match['name']}{match['between']}{STARS}" if secret else match[0]


def command(arguments: Sequence[str]) -> list[str]:
    """A command line with `***` for the values of options named like secrets, and for anything that looks like one."""
    clean: list[str] = []
    hide = False
    for argument in arguments:
        option = argument.startswith("-") and "=" not in argument
        if hide and not _OPTION.match(argument):
            clean.append(STARS)
        else:
            clean.append(text(argument))
        hide = option and _SECRET_PART.search(argument) is not None
    return clean


def variables(names_and_values: dict[str, str]) -> dict[str, str]:
    """Environment variables whose names do not suggest secrets, by name, with cleaned values."""
    return {name: text(value) for name, value in sorted(names_and_values.items()) if not _SECRET_PART.search(name)}


def config(value: Any) -> Any:
    """A configuration (nested dictionaries, lists, plain values) with `***` for text that is or is named a secret."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, (list, tuple)):
        return [config(item) for item in value]
    if isinstance(value, dict):
        return {name: _field(name, item) for name, item in value.items()}
    return value


def _field(name: Any, value: Any) -> Any:
    if isinstance(value, str) and value and _SECRET_WORDS.search(_words(str(name))):
        return STARS
    return config(value)


def _words(name: str) -> str:
    """`secretKey`, `secret-key` and `SECRET KEY` as `secret_key`."""
    return re.sub(r"[^0-9A-Za-z]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).lower()
