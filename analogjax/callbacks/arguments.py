"""The arguments that the backups share, checked."""

from collections.abc import Mapping
from typing import Any

from analogjax.errors import ConfigError
from analogjax.store import json_values


def whole(where: str, name: str, value: Any) -> int:
    """A whole number, 0 or more. Raises `ConfigError`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError(f"{where}({name}={value!r}): needs a whole number, 0 or more.")
    return value


def plain_settings(where: str, settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """Settings as they come back from a backup. Raises `ConfigError` for values that JSON can't represent."""
    try:
        return json_values.loads(json_values.dumps(dict(settings or {}), "settings"))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from None
