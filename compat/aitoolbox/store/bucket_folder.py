"""One experiment's folder in a bucket: as `folder.py`, with the checksums in `checksums.json`.

There are no locks in a bucket: an experiment has one writer at a time. A defaulted stamp is claimed by a conditional
put of the checksums, so that two machines never share one by accident.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from analogjax.store import AlreadyExists, Location, NotFound, StoreError
from compat.aitoolbox.store.checksums import Table, version_of
from compat.aitoolbox.store.errors import DamagedFile
from compat.aitoolbox.store.one_save import Version

CHECKSUMS = "checksums.json"


LONGEST_UPLOAD = 86400.0  # [s]; what began earlier and is not finished never will be


def discard_unfinished(location: Location, older_than: float = 0.0) -> None:
    """Removes the parts of uploads below `location` whose writers were killed."""
    # the right to list them is one of its own, and without it files can be saved all the same
    with suppress(StoreError):
        location.discard_unfinished(older_than)


class BucketFolder:
    """The folder `location` of the experiment with these names. All methods raise `StoreError`."""

    def __init__(
        self, location: Location, project_name: str = "", experiment_name: str = "", experiment_timestamp: str = ""
    ) -> None:
        self.location = location
        self._names = (project_name, experiment_name, experiment_timestamp)

    def table(self) -> Table | None:
        """The checksums, `None` where this library never saved. Raises `DamagedFile` too."""
        try:
            data = self.location.read(CHECKSUMS)
        except NotFound:
            return None
        return Table.from_bytes(data, f"{self.location.url}/{CHECKSUMS}")

    def claim(self) -> bool:
        """Whether the folder is new, and from now on ours."""
        try:
            if self.location.list():  # aitoolbox itself makes no claims
                return False
            self.location.create(CHECKSUMS, self._new(claim=uuid4().hex).to_bytes())
        except AlreadyExists:
            return False
        except StoreError:
            return True  # the store is out of reach; the local save matters more, and the upload will report it
        return True

    def upload(self, files: Sequence[tuple[Path, str]]) -> None:
        """Makes or replaces files by local ones; each is whole and agrees with the checksums at any moment."""
        versions: dict[str, Version] = {name: version_of(file) for file, name in files}
        table = self.table() or self._new()
        for name, version in versions.items():
            table = table.expecting(name, version)
        self.location.write(CHECKSUMS, table.to_bytes())
        discard_unfinished(self.location)
        for file, name in files:
            self.location.upload(file, name)
        for name, version in versions.items():
            table = table.settled(name, version)
        self.location.write(CHECKSUMS, table.to_bytes())

    def download(self, names: Sequence[str], target: Path) -> None:
        """Copies files, and the checksums, below `target`. Raises `DamagedFile` if one that was saved is missing."""
        table = self.table()
        there = {entry.name for entry in self.location.list()}
        lost = [name for name in (table.must_exist() if table else []) if name not in there]
        if lost:
            raise DamagedFile(
                f"{self.location.url}/{lost[0]} was saved and is gone: restore it, or save the experiment again."
            )
        for name in names:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            self.fetch(name, target / name, table.known(name) if table else None)
        if table is not None:
            (target / f".{CHECKSUMS}").write_bytes(table.to_bytes())

    def fetch(self, name: str, file: Path, known: Version | None) -> None:
        """Copies one file to `file`; where its content is known, that is what arrives."""
        size, sha256 = (known.size, known.sha256) if known else (None, None)
        self.location.download(name, file, size=size, sha256=sha256)

    def delete(self) -> None:
        """Deletes the whole folder; from the first moment on it is no experiment any more."""
        table = self.table() or self._new()
        self.location.write(CHECKSUMS, replace(table, deleted=True).to_bytes())
        names = [entry.name for entry in self.location.list() if entry.name != CHECKSUMS]
        self.location.delete(*names)
        self.location.delete(CHECKSUMS)

    def _new(self, claim: str = "") -> Table:
        return Table(*self._names, created=time.time(), claim=claim)
