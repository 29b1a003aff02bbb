"""A dataset as data: what it holds, where its files are published, and how they are read."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from analogjax.data.download import Progress, RemoteFile, fetch
from analogjax.data.errors import DatasetError, UnreachableError, corrupt
from analogjax.data.places import checked_root, condition, default_root, search_order
from analogjax.data.split import Split

Reader = Callable[[tuple[Path, ...], bool], tuple[np.ndarray, np.ndarray]]
"""`(paths of a split's files, train) -> (images, labels)`."""


@dataclass(frozen=True)
class Dataset:
    """One dataset of labelled images.

    Attributes:
        name: its public name, and the name of its folder below a root.
        classes: the number of classes.
        shape: of one image, `(H, W)` or `(H, W, C)`.
        mean, std: per channel, of images scaled to 0..1: training uses `(images / 255 - mean) / std`.
        train_size, test_size: the number of items in each split.
        read: reads the files of one split.
        train_files, test_files: the published files of each split.
        system_folders: folders in which a package of the operating system puts the files.
        package: the Debian package that does so.
        embedded: the file inside this library; such a dataset needs no search and no download.
    """

    name: str
    classes: int
    shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train_size: int
    test_size: int
    read: Reader = field(repr=False)
    train_files: tuple[RemoteFile, ...] = field(default=(), repr=False)
    test_files: tuple[RemoteFile, ...] = field(default=(), repr=False)
    system_folders: tuple[str, ...] = field(default=(), repr=False)
    package: str = field(default="", repr=False)
    embedded: Path | None = field(default=None, repr=False)

    def load(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        train: bool,
        download: bool = True,
        progress: Progress | None = None,
    ) -> Split:
        """Load one split from the first of `places(root)` that holds all its files, or download it if none does.

        Args:
            root: the folder to look in first, and to download below; `default_root()` if it is not given.
            train: the training split, else the test split.
            download: whether missing files may be downloaded, to `<root>/<name>/raw`.
            progress: called as `progress(file name, bytes so far, bytes in all or None)` during a download.

        Raises:
            DatasetError: the files are missing and cannot be downloaded, are damaged, or `root` cannot be used.
            MissingPackage: reading them needs a package that is not installed (SVHN: scipy).
        """
        if self.embedded is not None:
            return self._checked((self.embedded,), train)
        folder = checked_root(root)
        paths = self._paths(folder, train) or self._downloaded(folder, train, download, progress)
        return self._checked(paths, train)

    def find(self, root: str | os.PathLike[str] | None = None, *, train: bool | None = None) -> Path | None:
        """The folder that the files would be read from (the file itself if embedded), `None` where they are missing.

        Args:
            root: as for `load`.
            train: the split to look for; both, in one folder, if it is not given.

        Raises:
            DatasetError: `root` cannot be used.
        """
        if self.embedded is not None:
            return self.embedded
        files = self.train_files + self.test_files if train is None else self._files(train)
        return next((place for place in self.places(root) if all(file.within(place) for file in files)), None)

    def places(self, root: str | os.PathLike[str] | None = None) -> tuple[Path, ...]:
        """Every folder that is searched, in order.

        Raises:
            DatasetError: `root` cannot be used.
        """
        return search_order(self.name, checked_root(root), self.system_folders)

    def _files(self, train: bool) -> tuple[RemoteFile, ...]:
        return self.train_files if train else self.test_files

    def _paths(self, root: Path | None, train: bool) -> tuple[Path, ...]:
        """The files of the split in the first place that has them all, else nothing."""
        for place in self.places(root):
            paths = [path for file in self._files(train) if (path := file.within(place)) is not None]
            if paths and len(paths) == len(self._files(train)):
                return tuple(paths)
        return ()

    def _downloaded(
        self, root: Path | None, train: bool, download: bool, progress: Progress | None
    ) -> tuple[Path, ...]:
        """The files of the split in the download folder, fetched as far as they are missing there."""
        if not download:
            raise self._missing(root, train, "Nothing was downloaded, since download=False.")
        folder = (root or default_root()) / self.name / "raw"
        try:
            return tuple(file.within(folder) or fetch(file, folder, progress) for file in self._files(train))
        except UnreachableError as error:
            raise self._missing(root, train, str(error)) from error

    def _missing(self, root: Path | None, train: bool, network: str) -> DatasetError:
        """The error that lists the places searched, the downloads tried, and the remedies."""
        wanted = "; ".join(" or ".join((file.name, *file.also)) for file in self._files(train))
        looked = "".join(f"\n  {place}: {condition(place)}" for place in self.places(root))
        package = f"\n  - on Debian, install the files: apt-get install {self.package}" if self.package else ""
        return DatasetError(
            f"{self.name} ({'training' if train else 'test'} split) was not found. Looked for {wanted} in{looked}\n"
            f"{network}\nDo one of the following:"
            f"\n  - put the files in a folder; pass it as root (dataset_root in an experiment) or set ANALOGJAX_DATA"
            f"{package}"
            f"\n  - use Digits, the dataset that comes with analogjax and needs no files"
        )

    def _checked(self, paths: tuple[Path, ...], train: bool) -> Split:
        """The split in `paths`, with the sizes and labels it must have."""
        images, labels = self.read(paths, train)
        size = self.train_size if train else self.test_size
        if images.shape != (size, *self.shape):
            raise corrupt(paths[0], f"it holds images {list(images.shape)}, not {[size, *self.shape]}")
        if labels.shape != (size,):
            raise corrupt(paths[-1], f"it holds labels {list(labels.shape)}, not [{size}]")
        if labels.min() < 0 or labels.max() >= self.classes:
            raise corrupt(paths[-1], f"labels run from {labels.min()} to {labels.max()}, not 0 to {self.classes - 1}")
        return Split(images, labels.astype(np.int32))
