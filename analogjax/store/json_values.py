"""Lossless JSON: plain values, including the floats that JSON cannot represent.

`NaN` and the infinities become `{"$float": "nan"}`, `{"$float": "inf"}` and `{"$float": "-inf"}`. A key that starts
with `$` gets a second `$`, so that no user dictionary can be mistaken for one of these.
"""

from __future__ import annotations

import json
import math
from typing import Any


def encode(value: Any, where: str = "value") -> Any:
    """Convert `value` to JSON values; `decode` returns an equal value.

    Tuples are returned as lists. Raises `TypeError`, naming the place inside `where`, for anything that is not a
    string, bool, int, float, `None`, or a list, tuple or string-keyed dictionary of these.
    """
    try:
        return _encode(value, where)
    except RecursionError:
        raise TypeError(
            f"{where} contains itself or is nested too deeply for JSON; give a plain, finite tree."
        ) from None


def _encode(value: Any, where: str) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": repr(float(value))}
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return [_encode(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {_escape(key, where): _encode(item, f"{where}[{key!r}]") for key, item in value.items()}
    raise TypeError(
        f"{where} is of type {type(value).__name__}, which JSON cannot hold; "
        "convert it, for example with float(x), int(x), str(x) or x.tolist()."
    )


def _escape(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise TypeError(
            f"{where} has the key {key!r} of type {type(key).__name__}; JSON keys are strings: use str(key)."
        )
    return "$" + key if key.startswith("$") else key


def decode(value: Any) -> Any:
    """The inverse of `encode`."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if isinstance(value, dict):
        if value.keys() == {"$float"}:
            return float(value["$float"])
        return {key.removeprefix("$"): decode(item) for key, item in value.items()}
    return value


def dumps(value: Any, where: str = "value") -> str:
    """`encode` as one line of text. Raises `TypeError` as `encode` does."""
    return json.dumps(encode(value, where), allow_nan=False)


def loads(text: str | bytes) -> Any:
    """The inverse of `dumps`. Raises `ValueError` for text that is not JSON."""
    return decode(json.loads(text))


def strict(value: Any) -> Any:
    """`value` as strict JSON for any tool: NaN and infinities, which JSON can't represent, become `null`."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: strict(item) for name, item in value.items()}
    return [strict(item) for item in value] if isinstance(value, (list, tuple)) else value
