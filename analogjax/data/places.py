"""Where dataset files may be: the default folder, and the layouts searched below a folder.

Below each folder three layouts are tried: the files in the folder itself, in `<Name>/raw` (the layout that
PyTorch users have, and the one that downloads are written in) and in `<Name>`.
"""

from __future__ import annotations

import os
from pathlib import Path

from analogjax.data.errors import DatasetError


def default_root() -> Path:
    """The folder for datasets when none is given.

    `$ANALOGJAX_DATA`, else `$XDG_CACHE_HOME/analogjax/datasets`, else `~/.cache/analogjax/datasets`.

    Raises:
        DatasetError: neither variable is set and this user has no home folder.
    """
    chosen = os.environ.get("ANALOGJAX_DATA")
    if chosen:
        return expanded(chosen)
    cache = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification tells programs to ignore a relative path here.
    return (Path(cache) if os.path.isabs(cache) else expanded("~/.cache")) / "analogjax" / "datasets"


def expanded(folder: str | os.PathLike[str]) -> Path:
    """`folder` with a leading `~` replaced by the home folder.

    Raises:
        DatasetError: it starts with `~` and the home folder is unknown.
    """
    try:
        return Path(folder).expanduser()
    except RuntimeError as error:
        raise DatasetError(
            f"no home folder for {os.fspath(folder)!r}: {error}. Set ANALOGJAX_DATA to a full path, or pass one."
        ) from error


def checked_root(root: str | os.PathLike[str] | None) -> Path | None:
    """`root` as a path, `None` where it is not given.

    Raises:
        DatasetError: it exists and is not a folder.
    """
    if root is None:
        return None
    folder = expanded(root)
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise DatasetError(
            f"the dataset root {folder} is not a folder. Pass the folder that holds the files, "
            f"or one that may be created, or leave root out to use {default_root()}."
        )
    return folder


def layouts(name: str, folder: Path) -> tuple[Path, ...]:
    """The folders below `folder` that may hold the files of the dataset `name`, in the order of search."""
    return folder, folder / name / "raw", folder / name


def search_order(name: str, root: Path | None, system_folders: tuple[str, ...]) -> tuple[Path, ...]:
    """Every folder that is searched for the dataset `name`: below `root`, below the default root, the system's."""
    tops = ([root] if root is not None else []) + [default_root()]
    found = [place for top in tops for place in layouts(name, top)] + [Path(folder) for folder in system_folders]
    return tuple(dict.fromkeys(found))


def condition(place: Path) -> str:
    """One remark on why nothing was read from `place`, for an error message."""
    if not os.path.isdir(place):
        return "no such folder"
    if not os.access(place, os.R_OK | os.X_OK):
        return "no permission to read it"
    return "no complete set of the files"
