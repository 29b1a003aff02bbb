"""The manifest of a snapshot: its files, their sizes and checksums."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analogjax.errors import AnalogError
from analogjax.store import json_values
from analogjax.store.files import sha256_of
from analogjax.store.medium import Entry
from analogjax.store.transfer import each

FORMAT = 1
MANIFEST = "MANIFEST.json"


class SnapshotError(AnalogError):
    """A snapshot could not be written, or is absent or damaged; the message names the file and the remedy."""


class NewerFormatError(SnapshotError):
    """The snapshot was written by a later version of the library than this one."""


@dataclass(frozen=True)
class Manifest:
    """Contents of a snapshot: its name, its files, and the `meta` of the caller.

    `attempt` is the folder inside the snapshot that holds the files: none on a local disk, a unique one for each upload
    to a bucket (`bucket_snapshots.py`). Snapshots of either kind can be copied to the other and read there.
    """

    name: str
    files: tuple[Entry, ...]
    meta: dict[str, Any]
    attempt: str = ""


def check_name(name: str) -> None:
    """Raise `SnapshotError` unless this is a valid name of a snapshot."""
    if not name or name.startswith(".") or "/" in name:
        raise SnapshotError(f"{name!r} cannot name a snapshot: give a plain name that does not start with a dot.")


def parse_manifest(data: bytes, where: str) -> Manifest:
    """Parse a manifest; `where` is the snapshot it belongs to, for error messages.

    Raises `NewerFormatError` if only a later version can read it, `SnapshotError` if it is damaged.
    """
    file = f"{where}/{MANIFEST}"
    try:
        content = json.loads(data)
        written_format = int(content["format"])
    except (ValueError, KeyError, TypeError) as error:
        raise SnapshotError(f"{file} is damaged: it is not a manifest ({error!r}).") from error
    if written_format > FORMAT:
        raise NewerFormatError(
            f"{where} has snapshot format {written_format}, but this version of analogjax reads formats up to {FORMAT}"
            f": install a version that reads format {written_format}."
        )
    if content.pop("sha256", None) != _digest(content):
        raise SnapshotError(f"{file} is damaged: its content does not have the checksum that it states.")
    files = tuple(Entry(**entry) for entry in content["files"])
    return Manifest(content["name"], files, json_values.decode(content["meta"]), content.get("attempt", ""))


def manifest_text(folder: Path, name: str, meta: Any, attempt: str = "") -> str:
    """Make the manifest of the files in `folder`, which are all read and hashed; `meta` as returned by
    `json_values.encode`.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    hashes = each(sha256_of, paths, threads=4)
    files = [
        Entry(path.relative_to(folder).as_posix(), path.stat().st_size, digest)
        for path, digest in zip(paths, hashes, strict=True)
    ]
    content = {"format": FORMAT, "name": name, "files": [asdict(file) for file in files], "meta": meta}
    content |= {"attempt": attempt} if attempt else {}
    # no newline at the end: a manifest that lost its last byte is damaged
    return json.dumps(content | {"sha256": _digest(content)}, indent=1, allow_nan=False)


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
