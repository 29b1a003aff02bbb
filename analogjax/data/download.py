"""Downloads of dataset files: resumed where possible, verified, and moved into place only when whole.

The bytes go to `<name>.part`; a later run asks for the rest (HTTP `Range`, RFC 9110 section 14) and starts over where
the server does not answer `206`. The file gets its own name only after its MD5 is right and it is flushed to the disk.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO

from analogjax.data.errors import DatasetError, UnreachableError, on_disk
from analogjax.data.exclusive import exclusive

Progress = Callable[[str, int, int | None], object]
"""Called as `progress(file name, bytes so far, bytes in all or None)`."""

TRIES = 3  # per address
BACKOFF_S = 0.5  # before the second try; doubled before each later one
TIMEOUT_S = 20.0  # without a single byte
CHUNK = 1 << 18


@dataclass(frozen=True)
class RemoteFile:
    """One published file.

    Attributes:
        name: its file name, as published and as stored.
        urls: its addresses, tried in order.
        md5: its MD5 in hexadecimal; a file without one is not checked, nor is what was left of it resumed.
        also: other paths (relative to a searched folder) that serve instead of it, such as the unpacked file.
    """

    name: str
    urls: tuple[str, ...]
    md5: str | None
    also: tuple[str, ...] = ()

    def within(self, folder: Path) -> Path | None:
        """This file, or what serves instead of it, in `folder`; `None` where there is neither."""
        # The published name goes first: an unpacked file may come from an unpacking that was cut short.
        return next((folder / name for name in (self.name, *self.also) if os.path.isfile(folder / name)), None)


class _Interrupted(Exception):
    """One transfer failed; `again`: whether a retry may help."""

    def __init__(self, reason: str, *, again: bool = True) -> None:
        super().__init__(reason)
        self.again = again


def fetch(file: RemoteFile, folder: Path, progress: Progress | None = None) -> Path:
    """The whole and verified `file` in `folder`, downloaded unless it is there already.

    Safe to call from several processes or threads at once: one downloads, the others wait for it.

    Raises:
        UnreachableError: no address gave the file; the part received is kept, and the next run resumes from it.
        DatasetError: the file that came has the wrong checksum, or `folder` cannot be written.
    """
    with on_disk("create the folder", folder):
        folder.mkdir(parents=True, exist_ok=True)
    target = folder / file.name
    with exclusive(target) as part:
        if not os.path.isfile(target):
            _download(file, part, progress or (lambda name, done, total: None))
            _install(part, target)
    return target


def _download(file: RemoteFile, part: Path, progress: Progress) -> None:
    """Make `part` hold the whole file; checks its MD5."""
    if file.md5 is None:  # a beginning that was left over may be of another file, and nothing would tell
        with on_disk("remove", part):
            part.unlink(missing_ok=True)
    leftover = _size(part) > 0
    if leftover and _md5(part) == file.md5:
        return
    url = _from_any_address(file, part, progress)
    size, digest = _size(part), _md5(part)
    if file.md5 is None or digest == file.md5:
        return
    with on_disk("remove", part):
        part.unlink()
    if leftover:  # The beginning that was left over, not the server, may be at fault.
        return _download(file, part, progress)
    raise DatasetError(
        f"{url}: the {size} bytes that came for {file.name} have the MD5 {digest}, not {file.md5}, and were "
        f"thrown away. Try again; if it persists, something on the way (a proxy, a login page) changes the "
        f"file: get it by other means and put it in {part.parent}."
    )


def _from_any_address(file: RemoteFile, part: Path, progress: Progress) -> str:
    """Transfer the file to `part` and returns the address that gave it."""
    failures = []
    for url in file.urls:
        try:
            _persist(url, part, lambda done, total: progress(file.name, done, total))
            return url
        except _Interrupted as error:
            failures.append((url, str(error)))
    raise UnreachableError(file.name, tuple(failures))


def _persist(url: str, part: Path, report: Callable[[int, int | None], object]) -> None:
    """`_transfer`, tried again after a pause while that may help."""
    for attempt in range(TRIES):
        try:
            return _transfer(url, part, report)
        except _Interrupted as error:
            if not error.again or attempt == TRIES - 1:
                raise
            time.sleep(BACKOFF_S * 2**attempt)


def _transfer(url: str, part: Path, report: Callable[[int, int | None], object]) -> None:
    """Append to `part` what is missing of it, in one connection."""
    with _opened(url, part) as response:
        start = _start_of(response)
        total = None if response.length is None else start + response.length
        with on_disk("write", part), open(part, "ab" if start else "wb") as out:
            done = _copy(response, out, lambda copied: report(start + copied, total)) + start
    # http.client takes a closed connection for the end of the body.
    if total is not None and done < total:
        raise _Interrupted(f"the connection ended after {done} of {total} bytes")


def _opened(url: str, part: Path) -> HTTPResponse:
    """The server's answer to a request for `url` from the end of `part` on."""
    if not url.startswith(("http://", "https://")):
        raise _Interrupted("not an http or https address", again=False)
    have = _size(part)
    headers = {"User-Agent": "analogjax"} | ({"Range": f"bytes={have}-"} if have else {})
    with _network():
        try:
            response: HTTPResponse = urllib.request.urlopen(
                urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S
            )
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # The file ends before the part we have, so that part belongs to another file.
                part.unlink()
            retry = error.code in (408, 416, 429) or error.code >= 500
            raise _Interrupted(f"HTTP {error.code} {error.reason}", again=retry) from error
    if response.status == 206 and _start_of(response) != have:
        response.close()
        raise _Interrupted(f"the server answered with another range than bytes={have}-", again=False)
    return response


def _start_of(response: HTTPResponse) -> int:
    """The place in the file of the body's first byte: 0 unless the server continues from our request."""
    if response.status != 206:
        return 0
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else -1


def _copy(response: HTTPResponse, out: BinaryIO, report: Callable[[int], object]) -> int:
    """Copy the body to `out`; the number of bytes."""
    copied = 0
    while True:
        with _network():
            chunk = response.read1(CHUNK)
        if not chunk:
            return copied
        out.write(chunk)
        copied += len(chunk)
        report(copied)


@contextmanager
def _network() -> Iterator[None]:
    """Turn what urllib and http.client raise into `_Interrupted`."""
    try:
        yield
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise _Interrupted(f"{type(reason).__name__}: {reason}") from error
    except ValueError as error:
        raise _Interrupted(f"not an address: {error}", again=False) from error


def _install(part: Path, target: Path) -> None:
    """Flush `part` to the disk and gives it the name `target`, in one step."""
    with on_disk("write", target):
        with open(part, "rb+") as whole:
            os.fsync(whole.fileno())
        os.replace(part, target)
        if os.name == "posix":  # The new name is on the disk only when its folder is.
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _size(path: Path) -> int:
    """The size of `path` [bytes], 0 where it is missing."""
    with on_disk("read", path):
        return path.stat().st_size if path.exists() else 0


def _md5(path: Path) -> str:
    """The MD5 of `path` in hexadecimal: it finds damage, it does not authenticate."""
    with on_disk("read", path), open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
