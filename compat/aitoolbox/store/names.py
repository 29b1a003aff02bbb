"""Names of folders and files: one folder per experiment, inside its project, inside the root."""

import datetime
import os
import time
from collections.abc import Callable

from compat.aitoolbox.store.errors import BadName, explained

STAMP = "%Y-%m-%d_%H-%M-%S"
_LONGEST = 255  # bytes of one name, on every common file system


def check_experiment(project_name: str, experiment_name: str, experiment_timestamp: str) -> None:
    """Raises `BadName` unless these three make one folder in one folder; `TypeError` for what is not a `str`."""
    for what, name in (
        ("project_name", project_name),
        ("experiment_name", experiment_name),
        ("experiment_timestamp", experiment_timestamp),
    ):
        if not isinstance(name, str):
            raise TypeError(f"{what} is a {type(name).__name__}: give a string.")
        _check_parts(what, name)
    check_file(f"{experiment_name}_{experiment_timestamp}")
    check_folder("project_name", project_name)


def check_folder(what: str, name: str) -> None:
    """Raises `BadName` unless `name` can be a folder in the folder where it is looked for."""
    if name in ("", ".", ".."):
        raise BadName(f"{what} {name!r} is not the name of a folder: give a plain name.")
    _check_parts(what, name)
    check_file(name)


def check_results(experiment_name: str, experiment_timestamp: str) -> None:
    """Raises `BadName` if the longest name of a results file would be too long."""
    check_file(f"results_hyperParams_hist_{experiment_name}_{experiment_timestamp}.json")


def check_file(name: str) -> str:
    """Returns `name` if a file can have it. Raises `BadName`."""
    _check_parts("the file name", name)
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise BadName(f"{name!r} is not a name that can be written to disk ({error.reason}).") from None
    if size > _LONGEST:
        raise BadName(
            f"The name {name[:40]!r}... has {size} bytes and a file name holds {_LONGEST}: "
            "use a shorter project or experiment name."
        )
    return name


def safe_file(name: str) -> str:
    """`name`, made fit for one file where it is not: separators become `_`, and what is too long is cut."""
    stem, ending = os.path.splitext("".join("_" if mark in "/\\\0" else mark for mark in name))
    room = _LONGEST - len(ending.encode())
    return stem.encode("utf-8", "replace")[:room].decode("utf-8", "ignore") + ending


def _check_parts(what: str, name: str) -> None:
    wrong = next((mark for mark in {"/", os.sep, os.altsep, "\0"} if mark and mark in name), None)
    if wrong:
        raise BadName(
            f"{what} {name[:60]!r} contains {wrong!r}, so it would leave its folder: give a plain name without it."
        )


def claim(
    project_name: str,
    experiment_name: str,
    root: str,
    *,
    share: bool = False,
    take: Callable[[str], bool] = lambda stamp: True,
) -> str:
    """Returns the stamp of now, or of the next free second, whose new folder is ours; `share` allows one that is there.

    `take(stamp)` may refuse one that is taken elsewhere. Raises `BadName`, `SaveError`.
    """
    moment = datetime.datetime.fromtimestamp(time.time())
    check_experiment(project_name, experiment_name, moment.strftime(STAMP))
    project = os.path.join(os.path.expanduser(root), project_name)
    with explained(project):
        os.makedirs(project, exist_ok=True)
    while True:
        stamp = moment.strftime(STAMP)
        if share or (_make(os.path.join(project, f"{experiment_name}_{stamp}")) and take(stamp)):
            return stamp
        moment += datetime.timedelta(seconds=1)


def _make(folder: str) -> bool:
    try:
        os.mkdir(folder)
    except FileExistsError:
        return False
    except OSError:
        with explained(folder):
            raise
    return True
