"""Default locations of a service and of its files."""

import os
from pathlib import Path

DEFAULT_PORT = 8642
DEFAULT_URL = f"http://127.0.0.1:{DEFAULT_PORT}"


def default_home() -> Path:
    """`$XDG_DATA_HOME/analogjax/service`, by default below `~/.local/share`."""
    base = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
    return Path(base) / "analogjax" / "service"
