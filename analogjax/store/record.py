"""Small JSON records of a run on the local disk: one value in a file, or one value per line.

Floats that JSON has no word for (NaN, infinities) survive, see `json_values`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from uuid import uuid4

from analogjax.errors import AnalogError
from analogjax.store import json_values
from analogjax.store.snapshot import fsync


class RecordError(AnalogError):
    """A record could not be read; the message names the file and the line."""


def write_json_atomic(path: str | os.PathLike[str], obj: Any) -> None:
    """Replaces the file `path` by `obj` as JSON: at any moment a reader finds the old or the new file, whole.

    On return the new file has reached the disk. Raises `TypeError` for a value that JSON cannot hold (nothing is
    written then) and `OSError` when the disk refuses; the old file is intact in both cases.
    """
    path = Path(path)
    text = json_values.dumps(obj) + "\n"
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with open(draft, "x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    fsync(path.parent)


def read_json(path: str | os.PathLike[str]) -> Any:
    """Returns what `write_json_atomic` wrote. Raises `OSError` (no such file) or `RecordError` (not JSON)."""
    try:
        return json_values.loads(Path(path).read_bytes())
    except ValueError as error:
        raise RecordError(
            f"{path} is not JSON ({error}); it was not written by this library or was damaged."
        ) from error


def append_jsonl(path: str | os.PathLike[str], obj: Any) -> None:
    """Appends `obj` as one line; on return it has reached the disk.

    A torn last line that a crash left behind is cut off first, so that it cannot fuse with this one; one writer per
    file is assumed. Raises `TypeError` for a value that JSON cannot hold (nothing is written then), `OSError`.
    """
    line = (json_values.dumps(obj) + "\n").encode()
    with open(path, "a+b") as file:
        _cut_torn_line(file)
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def _cut_torn_line(file: Any) -> None:
    end = file.seek(0, os.SEEK_END)
    start = end
    while start > 0:
        start = max(0, start - 4096)
        file.seek(start)
        newline = file.read(min(4096, end - start)).rfind(b"\n")
        if newline >= 0:
            start += newline + 1
            break
    if start < end:
        file.truncate(start)


def read_jsonl(path: str | os.PathLike[str]) -> list[Any]:
    """Returns the values of all complete lines, in order.

    An unterminated last line is what a crash during `append_jsonl` leaves, and is left out. Raises `RecordError`,
    naming the line, if any other line is not JSON, and `OSError` if there is no such file.
    """
    *lines, _torn = Path(path).read_bytes().split(b"\n")
    return [_parse_line(line, number, path) for number, line in enumerate(lines, start=1)]


def _parse_line(line: bytes, number: int, path: str | os.PathLike[str]) -> Any:
    try:
        return json_values.loads(line)
    except ValueError as error:
        raise RecordError(
            f"Line {number} of {path} is not JSON ({error}): the file was edited or damaged. "
            "Restore it, or delete that line."
        ) from error
