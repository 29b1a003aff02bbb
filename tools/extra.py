"""Prints what an extra of pyproject.toml asks for, for pip: `python tools/extra.py docs`. The core is not in it."""

import sys
import tomllib
from pathlib import Path


def requirements(extra: str) -> list[str]:
    """The requirements of an extra."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["optional-dependencies"][extra]


if __name__ == "__main__":
    print(*(one.replace(" ", "") for one in requirements(sys.argv[1])))
