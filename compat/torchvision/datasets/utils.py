"""Downloads of single files, made by `analogjax.data`: a file is whole or not there."""

import hashlib
import os
import re
from pathlib import Path
from typing import Any

from analogjax.data.download import RemoteFile, fetch


def check_integrity(fpath: Any, md5: str | None = None) -> bool:
    """Whether there is a file `fpath`, with this MD5 where one is given."""
    if not os.path.isfile(fpath):
        return False
    if md5 is None:
        return True
    with open(fpath, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() == md5.lower()


def download_url(url: str, root: Any, filename: Any = None, md5: str | None = None, max_redirect_hops: int = 3) -> None:
    """Put the file that `url` names in the folder `root`, unless it is there.

    Args:
        url: An address; redirections are followed by Python's own rules, so `max_redirect_hops` changes nothing.
        root: The folder, which is made where it is missing.
        filename: Name of the file in it; the last part of `url` where none is given.
        md5: What the file's MD5 must be, in hexadecimal; not checked where none is given.

    Raises:
        ValueError: If another file has this name: it has another MD5. It stays as it is.
        DatasetError: If no whole file came.
    """
    folder = Path(root).expanduser()
    target = folder / (os.fspath(filename) if filename else os.path.basename(re.split(r"[?#]", url)[0]))
    if check_integrity(target, md5):
        return
    if target.exists():
        raise ValueError(f"download_url: {target} is there, but does not have the MD5 {md5}. Move it away.")
    fetch(RemoteFile(target.name, (url,), md5 and md5.lower()), target.parent)
