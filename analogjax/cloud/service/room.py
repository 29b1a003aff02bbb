"""Room on the disk of the service: while there is too little, nothing is started and no attempt is given up."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_LEAST_SHARE = 0.5  # of a small disk, at most this share is asked for


@dataclass(frozen=True)
class Room:
    """The disks of some folders, each with `least` bytes that must be free (or half of it, if it is a small one)."""

    folders: tuple[Path, ...]
    least: int

    @classmethod
    def of(cls, folders: Iterable[Path | None], least: int) -> Room:
        """The same; `None` stands for a store that is no folder of this machine."""
        return cls(tuple(folder for folder in folders if folder is not None), least)

    def free(self) -> int:
        """Free on the fullest of the disks [bytes]; 0 if none can be asked."""
        with suppress(OSError, ValueError):
            return min(shutil.disk_usage(_existing(folder)).free for folder in self.folders)
        return 0

    def short(self) -> str | None:
        """Why there is too little, if that is so."""
        for folder in self.folders:
            try:
                disk = shutil.disk_usage(_existing(folder))
            except OSError as error:
                return f"The disk of {folder} can't be asked for its free space ({error.strerror})."
            if disk.free < min(self.least, int(_LEAST_SHARE * disk.total)):
                return (
                    f"The disk is nearly full ({disk.free / 2**20:.0f} MiB free): waiting experiments start when there "
                    "is room again."
                )
        return None


def _existing(folder: Path) -> Path:
    return next((one for one in (folder, *folder.parents) if one.exists()), folder)
