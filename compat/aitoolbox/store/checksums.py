"""The table of an experiment's files: for each one the sizes and checksums that it may have.

Before a file is replaced, its new checksum is added next to the old one, and afterwards the old one is removed. So
whenever a writer is killed, every file agrees with one line of the table. A line is `pending` until its file is known
to be in place: a file that has only pending lines may be missing.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from analogjax.store.files import sha256_of
from compat.aitoolbox.store import one_save
from compat.aitoolbox.store.errors import DamagedFile
from compat.aitoolbox.store.one_save import Version

FORMAT = 1


@dataclass(frozen=True)
class Table:
    """The files of one experiment by their name relative to its folder, and what the experiment is called.

    `claim` is what no other writer has, where the table takes possession of a folder in a bucket. `saves` has what is
    noted of each save that files are of, by its number.
    """

    project_name: str = ""
    experiment_name: str = ""
    experiment_timestamp: str = ""
    created: float = 0.0
    deleted: bool = False
    claim: str = ""
    files: Mapping[str, tuple[Version, ...]] = field(default_factory=dict)
    saves: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def expecting(self, name: str, version: Version) -> "Table":
        """The table in which `name` may also have `version`."""
        old = tuple(old for old in self.files.get(name, ()) if not old.same(version))
        return self._with(name, (*old, replace(version, pending=True)))

    def settled(self, name: str, version: Version) -> "Table":
        """The table in which `name` has `version` and no other."""
        return self._with(name, (replace(version, pending=False),))

    def _with(self, name: str, lines: tuple[Version, ...]) -> "Table":
        files = {**self.files, name: lines}
        now = one_save.going_on()
        known = {**self.saves, now.number: now.record} if now.record else self.saves
        used = {line.save for some in files.values() for line in some}
        return replace(self, files=files, saves={number: known[number] for number in known if number in used})

    def without(self, *names: str) -> "Table":
        """The table that does not know `names`."""
        return replace(self, files={name: lines for name, lines in self.files.items() if name not in names})

    def saved(self, name: str) -> float:
        """When `name` was last saved [s since 1970], 0 if that is not known."""
        return max((line.saved for line in self.files.get(name, ())), default=0.0)

    def known(self, name: str) -> Version | None:
        """The content that `name` has, `None` if it may have several or that is not known."""
        lines = self.files.get(name, ())
        return lines[0] if len(lines) == 1 else None

    def must_exist(self) -> list[str]:
        """Names of the files that were in place."""
        return [name for name, lines in self.files.items() if not all(line.pending for line in lines)]

    def to_bytes(self) -> bytes:
        """The table as a file."""
        content = {
            "format": FORMAT,
            **asdict(self),
            "files": {n: [asdict(v) for v in f] for n, f in self.files.items()},
        }
        return (json.dumps(content, indent=1, ensure_ascii=True) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> "Table":
        """The inverse of `to_bytes`. Raises `DamagedFile` naming `where` it was read."""
        try:
            content: dict[str, Any] = json.loads(data)
            if content.pop("format") != FORMAT:
                raise DamagedFile(f"{where} was written by a newer version: update analogjax to read it.")
            files = {name: tuple(Version(**line) for line in lines) for name, lines in content.pop("files").items()}
            return cls(**content, files=files)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedFile(
                f"{where} is damaged: it is not a table of checksums ({error!r}). The files beside it can no longer be "
                "verified; delete it to load them unverified, or restore it from a copy."
            ) from error


def version_of(file: str | os.PathLike[str]) -> Version:
    """Size and checksum of `file` as it is now. Raises `OSError`."""
    return Version(os.stat(file).st_size, sha256_of(file), time.time(), save=one_save.going_on().number)
