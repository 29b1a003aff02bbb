"""Small files in each published format, made from arrays."""

import gzip
import io
import pickle
import struct
import tarfile

import numpy as np


def arrays(n, shape=(3, 4), seed=0):
    """Random images uint8 `[n, *shape]` and labels uint8 `[n]` that run through 0 to 9."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, *shape)).astype(np.uint8), (np.arange(n) % 10).astype(np.uint8)


def idx(array, *, magic=None):
    header = magic if magic is not None else 0x800 | array.ndim
    return struct.pack(f">{1 + array.ndim}I", header, *array.shape) + array.tobytes()


def gz(content):
    return gzip.compress(content, mtime=0)


def python2_batch(data, labels):
    """A batch as Python 2 pickled the published ones: protocol 2, every string a byte string."""

    def text(raw):
        return b"T" + struct.pack("<I", len(raw)) + raw

    def number(value):
        return b"J" + struct.pack("<i", value)

    kind = b"cnumpy\ndtype\n(" + text(b"u1") + number(0) + number(1) + b"tR("
    kind += number(3) + text(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(" + number(0) + b"t" + text(b"b") + b"tR("
    array += number(1) + b"(" + number(data.shape[0]) + number(data.shape[1]) + b"t" + kind + b"\x89"
    array += text(data.tobytes()) + b"tb"
    items = b"".join(number(int(label)) for label in labels)
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + b"](" + items + b"eu."


def python3_batch(data, labels):
    return pickle.dumps({"data": data, "labels": [int(label) for label in labels]}, protocol=2)


def tar_gz(members):
    """A gzipped tar archive of `members` (path -> bytes)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()
