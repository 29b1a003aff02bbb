"""The `Medium` protocol, which every kind of place implements, its files, and its errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from analogjax._field_docs import document_fields
from analogjax.errors import AnalogError

Progress = Callable[[int], None]  # called with the number of bytes that were moved since the last call


class StoreError(AnalogError):
    """A place could not be read or written; the message states the place, the cause and the remedy."""


class NotFound(StoreError, FileNotFoundError):
    """There is no such file, or no such bucket."""


class NoAnswer(StoreError):
    """The store did not answer the last request properly; it may still carry it out, even later."""


class AlreadyExists(StoreError, FileExistsError):
    """The file exists already, with other content."""


@document_fields
@dataclass(frozen=True)
class Entry:
    """One file in a store."""

    name: str
    """Path relative to the location, with `/` between its parts."""
    size: int
    """Size in bytes."""
    sha256: str | None = None
    """SHA-256 in hexadecimal, where it is known."""


Entries = list[Entry]  # names for what methods return: inside the classes of media `list` is a method
Names = list[str]


class Medium(Protocol):
    """Protocol of a folder in a kind of place; names are relative to it, with `/`. All methods raise `StoreError`."""

    def read(self, name: str) -> bytes:
        """Return the content of a file."""

    def write(self, name: str, data: bytes) -> None:
        """Create or replace a file."""

    def create(self, name: str, data: bytes) -> None:
        """Create a file that does not exist yet."""

    def upload(self, file: Path, name: str, progress: Progress | None) -> None:
        """Create or replace a file by a local one."""

    def download(self, name: str, file: Path, size: int | None, progress: Progress | None) -> None:
        """Copy a file into the local `file`, which is new."""

    def list(self, prefix: str) -> Entries:
        """List all files below a folder."""

    def folders(self, prefix: str) -> Names:
        """List the folders directly below a folder."""

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""

    def delete(self, names: Names) -> None:
        """Delete files."""

    def discard_unfinished(self, older_than: float, only: Callable[[str], bool]) -> Names:
        """Remove unfinished files begun more than `older_than` seconds ago."""


@document_fields
@dataclass(frozen=True)
class Backend:
    """A kind of place: a row of the table in `backends.py`."""

    protocol: str
    """What its URLs begin with, before the `://`."""
    medium: str
    """Module and class of its medium, as in `"package.module:Class"`. The class has `connect(backend, options)`, which
    returns what makes the medium of a URL."""
    aliases: tuple[str, ...] = ()
    """Other spellings of the protocol."""
    has_buckets: bool = True
    """Whether the first part of a URL names a bucket, which must then be there."""
    package: str = ""
    """The package that the medium needs, if it needs one."""
    extra: str = ""
    """The extra of analogjax that installs it."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of its client where `storage_options` say nothing else."""
    secret: str = "token|secret|passw|key|credential|auth|signature"
    """A pattern: options whose names match it, in any case, are shown in no message."""
    credentials: str = "its own environment variables and files"
    """Where its own tools find credentials."""
    sign_in: str = "its own tools"
    """What renews credentials that have expired."""

    def secrets(self, options: Any, named: bool = False) -> Iterator[str]:
        """The texts in storage options that must not appear in messages, because of their names or of the names above
        them.
        """
        if isinstance(options, dict):
            for name, value in options.items():
                is_secret = re.search(self.secret, str(name), re.IGNORECASE) is not None
                yield from self.secrets(value, named or is_secret)
        elif isinstance(options, str) and named and len(options) > 5:  # "anon" and such are everyday words
            yield options
