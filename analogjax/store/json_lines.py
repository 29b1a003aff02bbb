"""Files of JSON values, one in a line, that grow on the local disk.

Floats that JSON has no word for (NaN, infinities) survive, see `json_values`.
"""

from __future__ import annotations

import os
from typing import Any

from analogjax.store import json_values


def append(path: str | os.PathLike[str], value: Any) -> None:
    """Append `value` as one line; on return it has reached the disk.

    A torn last line that a crash left behind is cut off first, so that it cannot fuse with this one; one writer per
    file is assumed. Raises `TypeError` for a value that JSON cannot hold (nothing is written then), `OSError`.
    """
    line = (json_values.dumps(value) + "\n").encode()
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
