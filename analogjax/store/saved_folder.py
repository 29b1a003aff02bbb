"""Experiments that the savers of `compat` (aitoolbox's layout) have left, as far as their table of checksums says.

    root/PROJECT/NAME_STAMP/.checksums.json     on a local disk
    root/PROJECT/NAME_STAMP/checksums.json      in a bucket

Models and results are read by `load_experiment` of the savers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from analogjax._field_docs import document_fields
from analogjax.store import json_values
from analogjax.store.location import Location
from analogjax.store.medium import NotFound
from analogjax.store.run_folder import RunError
from analogjax.store.transfer import each

_TABLES = (".checksums.json", "checksums.json")


@document_fields
@dataclass(frozen=True)
class SavedFolder:
    """What is known of a saved experiment without loading it."""

    id: str
    """`PROJECT/NAME_STAMP`, below the root."""
    location: str
    """Folder or URL."""
    begun: str
    """When it was saved last (ISO 8601, UTC)."""
    results: Mapping[str, float]
    """Numbers of the results."""
    hyperparameters: Mapping[str, Any]
    """Hyperparameters that are one number or text."""
    provenance: Mapping[str, Any]
    """Where the results come from; empty if aitoolbox itself saved it."""
    files: Mapping[str, int]
    """Names of the files, with their sizes in bytes."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())


def list_saved(
    root: str | os.PathLike[str] | Location, *, storage_options: Mapping[str, Any] | None = None
) -> list[SavedFolder]:
    """List the experiments that aitoolbox's savers have saved below a folder.

    Args:
        root: Folder or URL, as it was given to the savers.
        storage_options: Options for the storage client.

    Returns:
        The experiments, newest first. Folders without a table of checksums that can be read are passed over.

    Raises:
        StoreError: If `root` itself can't be read.

    Example:
        >>> {one.id: one.results for one in list_saved("runs")}
    """
    location = Location.of(root, storage_options=storage_options)
    inside = each(lambda name: (location / name).folders(), projects := location.folders())
    names = [f"{project}/{name}" for project, found in zip(projects, inside, strict=True) for name in found]
    experiments = each(lambda name: _read(location / name), names)
    return sorted((one for one in experiments if one is not None), key=lambda one: (one.begun, one.id), reverse=True)


def read_saved(where: str | os.PathLike[str] | Location) -> SavedFolder:
    """Read what is known of one saved experiment. Raises `RunError` if there is none, `StoreError`."""
    location = Location.of(where)
    found = _read(location)
    if found is None:
        raise RunError(f"{location} is no experiment of a saver: it has no table of checksums that can be read.")
    return found


def _read(location: Location) -> SavedFolder | None:
    for name in _TABLES:
        try:
            table = json_values.loads(location.read(name))
            return None if table["deleted"] else _of(location, table)
        except NotFound:
            continue
        except (ValueError, KeyError, TypeError, AttributeError):  # somebody else's file
            return None
    return None


def _of(location: Location, table: Mapping[str, Any]) -> SavedFolder | None:
    newest = {name: max(lines, key=lambda line: line["saved"]) for name, lines in table["files"].items() if lines}
    if not newest:
        return None
    last = max((line for name, line in newest.items() if name.startswith("results/")), key=_saved, default=None)
    noted = {} if last is None else table["saves"].get(last["save"], {})
    when = datetime.fromtimestamp(max(map(_saved, newest.values())), UTC).isoformat(timespec="milliseconds")
    *_, project, folder = location.url.rstrip("/").split("/")
    results, hyperparameters, origin = (noted.get(name, {}) for name in ("results", "hyperparameters", "provenance"))
    sizes = {name: int(line["size"]) for name, line in newest.items()}
    return SavedFolder(f"{project}/{folder}", location.url, when, results, hyperparameters, origin, sizes)


def _saved(line: Mapping[str, Any]) -> float:
    return float(line["saved"])
