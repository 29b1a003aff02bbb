"""The datasets that the library knows, by name."""

from __future__ import annotations

import difflib

from analogjax.data.cifar import FOLDER, read_cifar10
from analogjax.data.dataset import Dataset
from analogjax.data.digits import FILE, read_digits
from analogjax.data.download import RemoteFile
from analogjax.data.errors import DatasetError
from analogjax.data.idx import read_idx_pair
from analogjax.data.matlab import read_svhn

# The first address is the publisher's; a second one serves the same bytes.
_FASHION_MNIST = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)
_MNIST = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
_SVHN = ("http://ufldl.stanford.edu/housenumbers/",)
_CIFAR10 = ("https://www.cs.toronto.edu/~kriz/",)


def _idx(bases: tuple[str, ...], stem: str, md5: str) -> RemoteFile:
    """A gzipped IDX file, which may also be unpacked."""
    name = f"{stem}-ubyte.gz"
    # Unpacking tools of old wrote a dot before `idx`.
    unpacked = f"{stem}-ubyte", f"{stem.replace('-idx', '.idx')}-ubyte"
    return RemoteFile(name, tuple(base + name for base in bases), md5, also=unpacked)


def _svhn(name: str, md5: str) -> RemoteFile:
    return RemoteFile(name, tuple(base + name for base in _SVHN), md5)


def _cifar10(batch: str) -> RemoteFile:
    """The archive with both splits, which may also be unpacked; `batch` identifies the split."""
    name = "cifar-10-python.tar.gz"
    # The MD5 is on the dataset's page.
    md5 = "c58f30108f718f92721af3b95e74349a"
    return RemoteFile(name, tuple(base + name for base in _CIFAR10), md5, also=(f"{FOLDER}/{batch}", batch))


FashionMNIST = Dataset(
    name="FashionMNIST",
    classes=10,
    shape=(28, 28),
    # As in aihwkit's experiments, so that runs compare; the pixels' own standard deviation is 0.3530.
    mean=(0.2860,),
    std=(0.3205,),
    train_size=60_000,
    test_size=10_000,
    read=read_idx_pair,
    # The MD5s are in the README of zalandoresearch/fashion-mnist. Debian's package compressed the same content again,
    # so that its files have others; files found on the machine are checked by what they hold instead.
    train_files=(
        _idx(_FASHION_MNIST, "train-images-idx3", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        _idx(_FASHION_MNIST, "train-labels-idx1", "25c81989df183df01b3e8a0aad5dffbe"),
    ),
    test_files=(
        _idx(_FASHION_MNIST, "t10k-images-idx3", "bef4ecab320f06d8554ea6380940ec79"),
        _idx(_FASHION_MNIST, "t10k-labels-idx1", "bb300cfdad3c16e7a12a480ee83cd310"),
    ),
    system_folders=("/usr/share/datasets/fashion-mnist",),
    package="dataset-fashion-mnist",
)
"""Pictures of clothes, 28 x 28, ten classes."""

MNIST = Dataset(
    name="MNIST",
    classes=10,
    shape=(28, 28),
    mean=(0.0,),
    std=(1.0,),
    train_size=60_000,
    test_size=10_000,
    read=read_idx_pair,
    # MNIST's page has no checksums; these are the ones in general use for its files.
    train_files=(
        _idx(_MNIST, "train-images-idx3", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        _idx(_MNIST, "train-labels-idx1", "d53e105ee54ea40749a09fcbcd1e9432"),
    ),
    test_files=(
        _idx(_MNIST, "t10k-images-idx3", "9fb629c4189551a2d022fa330f9573f3"),
        _idx(_MNIST, "t10k-labels-idx1", "ec29112dd5afa0611ce80d1b7f02629c"),
    ),
)
"""Handwritten digits, 28 x 28, ten classes."""

SVHN = Dataset(
    name="SVHN",
    classes=10,
    shape=(32, 32, 3),
    mean=(0.4377, 0.4438, 0.4728),
    std=(0.1980, 0.2010, 0.1970),
    train_size=73_257,
    test_size=26_032,
    read=read_svhn,
    # SVHN's page has no checksums; these are the ones in general use for its files.
    train_files=(_svhn("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"),),
    test_files=(_svhn("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"),),
)
"""House numbers in colour, 32 x 32, ten classes."""

CIFAR10 = Dataset(
    name="CIFAR10",
    classes=10,
    shape=(32, 32, 3),
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    train_size=50_000,
    test_size=10_000,
    read=read_cifar10,
    train_files=(_cifar10("data_batch_1"),),
    test_files=(_cifar10("test_batch"),),
)
"""Photographs in colour, 32 x 32, ten classes."""

Digits = Dataset(
    name="Digits",
    classes=10,
    shape=(8, 8),
    # Of the training split, to four digits.
    mean=(0.3055,),
    std=(0.3759,),
    train_size=1437,
    test_size=360,
    read=read_digits,
    embedded=FILE,
)
"""Handwritten digits, 8 x 8, ten classes; they come with the library."""

DATASETS: dict[str, Dataset] = {dataset.name: dataset for dataset in (FashionMNIST, MNIST, SVHN, CIFAR10, Digits)}
"""All of these, by name."""


def named(name: str) -> Dataset:
    """The dataset of that name, in any case.

    Raises:
        DatasetError: there is none; the message lists the names and the closest one.
    """
    folded = {known.casefold(): dataset for known, dataset in DATASETS.items()}
    key = str(name).casefold()
    if key in folded:
        return folded[key]
    close = difflib.get_close_matches(key, folded, n=1)
    hint = f" Did you mean {folded[close[0]].name}?" if close else ""
    raise DatasetError(f"no dataset is named {name!r}.{hint} The names are {', '.join(DATASETS)}.")
