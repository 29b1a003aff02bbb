"""The IDX format of MNIST and Fashion-MNIST.

A big-endian header (two zero bytes, the type of the items, the number of dimensions `n`, then `n` sizes of 32 bits),
followed by the items in C order. Described on the MNIST page, http://yann.lecun.com/exdb/mnist/.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from analogjax.data.errors import corrupt, on_disk

UNSIGNED_BYTE = 0x08
GZIP_MAGIC = b"\x1f\x8b"


def read_idx_pair(paths: tuple[Path, ...], train: bool) -> tuple[np.ndarray, np.ndarray]:
    """Images `[N, H, W]` and labels `[N]`, both uint8, of the two files in `paths`; `train` is in the files' names.

    Raises:
        DatasetError: a file is not the IDX file it should be.
    """
    images, labels = paths
    return read_idx(images, dims=3), read_idx(labels, dims=1)


def read_idx(path: Path, *, dims: int) -> np.ndarray:
    """The uint8 array of `dims` dimensions in the IDX file `path`, gzipped or plain.

    Raises:
        DatasetError: `path` is unreadable, not IDX, of another type or number of dimensions, or of the wrong length.
    """
    content = _content(path)
    header = 4 + 4 * dims
    if len(content) < header:
        raise corrupt(path, f"an IDX header of {header} bytes is expected, the content has only {len(content)} bytes")
    magic = (UNSIGNED_BYTE << 8) | dims
    found = struct.unpack(">I", content[:4])[0]
    if found != magic:
        raise corrupt(path, f"the IDX magic number is {found:#010x}, not {magic:#010x} (bytes in {dims} dimensions)")
    shape = struct.unpack(f">{dims}I", content[4:header])
    if len(content) - header != math.prod(shape):
        raise corrupt(
            path, f"the header announces {shape} = {math.prod(shape)} bytes, {len(content) - header} follow it"
        )
    # A copy, since nothing can be written to a view of bytes, and PyTorch warns of such arrays.
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()


def _content(path: Path) -> bytes:
    """The bytes of `path`, unpacked if they are gzip."""
    with on_disk("read", path):
        raw = path.read_bytes()
    # The content decides, not the name: some HTTP clients unpack on the way and keep the `.gz`.
    if not raw.startswith(GZIP_MAGIC):
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, gzip.BadGzipFile, zlib.error, struct.error) as error:
        raise corrupt(path, f"the gzip data are truncated or damaged ({error})") from error
