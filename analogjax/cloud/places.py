"""Where a service keeps its files unless told otherwise."""

import os
from pathlib import Path


def default_home() -> Path:
    """`$XDG_DATA_HOME/analogjax/service`, by default below `~/.local/share`."""
    base = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
    return Path(base) / "analogjax" / "service"
