"""The output of a job, read from its end, or on from where a reader was."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

from analogjax.cloud.errors import ExecutorError


def tail(path: Path, limit: int) -> str:
    """The last `limit` bytes of a file, as text; empty if there is none. Raises `ExecutorError`."""
    return read_part(path, 0, limit)[0]


def read_part(path: Path, after: int, limit: int) -> tuple[str, int]:
    """A file's text after byte `after`, at most its last `limit` bytes, and where it ends. Raises `ExecutorError`."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = max(after if after <= size else 0, size - limit)
            file.seek(start)
            return whole_characters(file.read(size - start), start)
    except FileNotFoundError:
        return "", 0
    except OSError as error:
        raise ExecutorError(f"{path} can't be read ({error.strerror}).") from None


def whole_characters(content: bytes, start: int) -> tuple[str, int]:
    """Text of bytes that began at `start`, and where it ends: before a character that is not complete yet."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(content)
    return text, start + len(content) - len(decoder.getstate()[0])
