"""One experiment's folder on a local disk: every file is replaced as a whole and has its checksum in a side file."""

import errno
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from analogjax.store import file_lock
from analogjax.store.files import DRAFT, fsync, replacing, sha256_of
from analogjax.store.staging import orphans, remove, staged, to_trash, trash_in
from compat.aitoolbox.store import names, one_save
from compat.aitoolbox.store.checksums import Table, version_of
from compat.aitoolbox.store.errors import DamagedFile, explained
from compat.aitoolbox.store.one_save import Version

CHECKSUMS = ".checksums.json"
_LOCK = ".checksums.lock"
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


class Folder:
    """The folder at `path`; it need not exist yet. The methods that write raise `SaveError`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @classmethod
    def made(cls, project_name: str, experiment_name: str, experiment_timestamp: str, root: str) -> "Folder":
        """The folder of this experiment below `root`, made if need be. Raises `BadName`, `SaveError`."""
        names.check_experiment(project_name, experiment_name, experiment_timestamp)
        path = Path(os.path.expanduser(root), project_name, f"{experiment_name}_{experiment_timestamp}")
        folder = cls(path)
        with explained(path):
            path.mkdir(parents=True, exist_ok=True)
            if not (path / CHECKSUMS).exists():
                with folder._locked():
                    if not (path / CHECKSUMS).exists():
                        place = (project_name, experiment_name, experiment_timestamp)
                        folder._put(Table(*place, created=time.time()))
        return folder

    def table(self) -> Table | None:
        """The checksums, `None` where this library never saved. Raises `DamagedFile`."""
        try:
            data = (self.path / CHECKSUMS).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Table.from_bytes(data, str(self.path / CHECKSUMS))

    def write(self, name: str, write: Callable[[Path], None]) -> Path:
        """Makes or replaces the file `name` by what `write(file)` puts into a draft; returns its path.

        Whatever happens, the old or the new content is there, whole and with its checksum. What `write` raises is
        passed on.
        """
        target = self.path / name
        names.check_file(target.name)
        with explained(target):
            with self._locked():
                self._sweep()
            with staged(self.path, self._locked()) as folder:
                self._replace(name, folder / target.name, write)
        return target

    def _replace(self, name: str, draft: Path, write: Callable[[Path], None]) -> None:
        write(draft)  # formats look at the file's name, so the draft has the final one
        fsync(draft)
        version = version_of(draft)
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        with self._locked():
            self._swap(name, draft, version)

    def record(self, *files: str) -> None:
        """Takes the checksums of files that somebody else wrote; those that do not exist are left out."""
        there = [name for name in files if (self.path / name).is_file()]
        with explained(self.path), self._locked():
            table = self._writable_table()
            for name in there:
                table = table.settled(name, version_of(self.path / name))
            self._put(table)

    def remove(self, *files: str) -> None:
        """Deletes files and forgets them; one that is gone already is no error."""
        with explained(self.path), self._locked():
            for name in files:
                (self.path / name).unlink(missing_ok=True)
            if (self.path / CHECKSUMS).exists():
                self._put(self._writable_table().without(*files))

    def delete(self) -> None:
        """Deletes the whole folder; from one moment to the next it is no experiment any more."""
        with explained(self.path):
            if to_trash(self.path) is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path))
            remove(*trash_in(self.path.parent))  # with what killed processes left there

    def present(self, name: str, table: Table) -> Version | None:
        """Which of the contents in the `table` the file `name` has, `None` if that is not known."""
        lines = table.files.get(name, ())
        file = self.path / name
        if not file.is_file():
            return None
        return one_save.present(lines, file.stat().st_size, lambda: sha256_of(file))

    def verify(self, only: Iterable[str] | None = None) -> None:
        """Checks every file that was saved, or those named. Raises `DamagedFile` naming the first that is not whole."""
        table = self.table()
        if table is None:
            return
        for name in table.must_exist() if only is None else only:
            table = self._verify_one(name, table)

    def _verify_one(self, name: str, table: Table) -> Table:
        while True:
            try:
                verify_file(self.path / name, table.files.get(name, ()))
                return table
            except DamagedFile:
                later = self.table() or Table()
                if later == table:
                    raise
                table = later  # it was replaced, or deleted, after the table was read

    def _swap(self, name: str, draft: Path, version: Version) -> None:
        table = self._writable_table()
        self._put(table.expecting(name, version))
        try:
            os.replace(draft, self.path / name)
        except OSError:
            self._put(table)
            raise
        fsync((self.path / name).parent)
        self._put(table.settled(name, version))

    def _writable_table(self) -> Table:
        try:
            return self.table() or Table()
        except DamagedFile as error:
            aside = self.path / f"{CHECKSUMS}.damaged-{uuid4().hex[:8]}"
            os.replace(self.path / CHECKSUMS, aside)
            warnings.warn(f"{error} It was moved to {aside.name}, and a new one is begun.", stacklevel=2)
            return Table()

    def _put(self, table: Table) -> None:
        with replacing(self.path / CHECKSUMS) as draft:
            draft.write_bytes(table.to_bytes())

    def withdraw(self) -> None:
        """Removes the folder if nothing was ever saved in it, as after a first save that failed."""
        with suppress(OSError, DamagedFile), self._locked():
            if (self.table() or Table()).files:
                return
            for folder in [path for path in self.path.iterdir() if path.is_dir()]:
                folder.rmdir()  # refused if anything is in it
            if {path.name for path in self.path.iterdir()} == {CHECKSUMS, _LOCK}:
                (self.path / CHECKSUMS).unlink()
                (self.path / _LOCK).unlink()
                self.path.rmdir()

    def mark_deleted(self) -> None:
        """Record in the table that this experiment is being deleted."""
        with explained(self.path), self._locked():
            self._put(replace(self._writable_table(), deleted=True))

    def _sweep(self) -> None:
        """Removes the drafts of writers that were killed; our lock is held, so a draft of the table has no writer."""
        remove(*self.path.glob(f"{DRAFT}*"), *orphans(self.path))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with ExitStack() as stack:
            try:
                stack.enter_context(file_lock.held(self.path / _LOCK))
            except OSError as error:
                # network file systems without locks were good enough for aitoolbox: one writer at a time there
                if error.errno not in _NO_LOCKS:
                    raise
            yield


def verify_file(file: Path, versions: Iterable[Version]) -> None:
    """Raises `DamagedFile` unless `file` is one of `versions`; without any there is nothing to compare it with."""
    versions = list(versions)
    if not versions:
        return
    try:
        found = version_of(file)
    except OSError as error:
        raise DamagedFile(
            f"{file} was saved and cannot be read now ({error.strerror or error}): restore it from a copy, or save the "
            "experiment again."
        ) from error
    if not any(found.same(version) for version in versions):
        raise DamagedFile(
            f"{file} is damaged: it has {found.size} bytes with SHA-256 {found.sha256[:16]}..., and was saved with "
            f"{versions[-1].size} bytes and {versions[-1].sha256[:16]}...; restore it from a copy, or save it again."
        )


def replace_file(target: str | os.PathLike[str], write: Callable[[Path], None]) -> None:
    """Replaces any file as a whole, without a table of checksums. Raises `SaveError`."""
    with explained(target), replacing(Path(target)) as draft:
        write(draft)
