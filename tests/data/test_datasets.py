"""Where datasets are found, what is downloaded, and what the errors say."""

import dataclasses
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from samples import arrays, gz, idx

from analogjax.data import (
    CIFAR10,
    DATASETS,
    MNIST,
    SVHN,
    Dataset,
    DatasetError,
    Digits,
    FashionMNIST,
    RemoteFile,
    Split,
    default_root,
    named,
)
from analogjax.data.idx import read_idx_pair

IMAGES, LABELS = arrays(6)
MD5 = "0" * 32


def unpublished(name):
    return RemoteFile(f"{name}.gz", (), MD5, also=(name,))


Tiny = Dataset(
    name="Tiny",
    classes=10,
    shape=(3, 4),
    mean=(0.0,),
    std=(1.0,),
    train_size=6,
    test_size=2,
    read=read_idx_pair,
    train_files=(unpublished("train-images"), unpublished("train-labels")),
    test_files=(unpublished("test-images"), unpublished("test-labels")),
)


def put(folder, *, suffix="", train=True, test=True, images=IMAGES, labels=LABELS):
    """Writes Tiny's files in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    pack = gz if suffix else bytes
    for split, size, wanted in (("train", 6, train), ("test", 2, test)):
        if wanted:
            (folder / f"{split}-images{suffix}").write_bytes(pack(idx(images[:size])))
            (folder / f"{split}-labels{suffix}").write_bytes(pack(idx(labels[:size])))
    return folder


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("layout", ["", "Tiny/raw", "Tiny"])
@pytest.mark.parametrize("top", ["root", "default"])
def test_files_are_found_in_each_layout_of_the_root_and_of_the_default_root(tmp_path, suffix, layout, top):
    place = put(tmp_path / top / layout, suffix=suffix)
    assert Tiny.find(tmp_path / "root") == place
    split = Tiny.load(str(tmp_path / "root"), train=True, download=False)
    np.testing.assert_array_equal(split.images, IMAGES)
    np.testing.assert_array_equal(split.labels, LABELS)
    assert split.images.dtype == np.uint8 and split.labels.dtype == np.int32
    assert len(Tiny.load(tmp_path / "root", train=False, download=False)) == 2


def test_the_order_of_search(tmp_path):
    dataset = dataclasses.replace(Tiny, system_folders=("/usr/share/tiny",))
    root, default = tmp_path / "root", tmp_path / "default"
    tops = [top / layout for top in (root, default) for layout in ("", "Tiny/raw", "Tiny")]
    assert dataset.places(root) == (*tops, Path("/usr/share/tiny"))
    assert dataset.places() == (*tops[3:], Path("/usr/share/tiny"))
    for place in reversed(tops):
        put(place)
        assert dataset.find(root) == place


def test_a_folder_with_one_split_serves_that_split_only(tmp_path):
    put(tmp_path, test=False)
    assert Tiny.find(tmp_path) is None
    assert Tiny.find(tmp_path, train=True) == tmp_path and Tiny.find(tmp_path, train=False) is None
    assert len(Tiny.load(tmp_path, train=True)) == 6


def test_system_folders_come_last(tmp_path):
    dataset = dataclasses.replace(Tiny, system_folders=(str(put(tmp_path / "system")),))
    assert dataset.find(tmp_path / "root") == tmp_path / "system"
    assert len(dataset.load(train=False)) == 2


@pytest.mark.parametrize("given", [True, False])
def test_only_the_split_that_is_asked_for_is_downloaded_below_the_root(server, tmp_path, given):
    contents = {"images": gz(idx(IMAGES)), "labels": gz(idx(LABELS))}
    files = tuple(server.file(f"train-{name}.gz", content) for name, content in contents.items())
    dataset = dataclasses.replace(Tiny, train_files=files)
    root = tmp_path / "mine" if given else None
    assert dataset.load(root, train=True).labels.tolist() == LABELS.tolist()
    raw = (root or tmp_path / "default") / "Tiny" / "raw"
    assert sorted(os.listdir(raw)) == ["train-images.gz", "train-labels.gz"]
    assert len(server.requests) == 2
    (raw / "train-labels.gz").unlink()
    dataset.load(root, train=True)
    assert [name for name, _ in server.requests[2:]] == ["train-labels.gz"]


def test_no_network_and_no_files_says_where_what_and_how_to_go_on(tmp_path, dead_url):
    files = (RemoteFile("a.gz", (dead_url + "a.gz", dead_url + "mirror/a.gz"), MD5, also=("a",)),)
    dataset = dataclasses.replace(Tiny, train_files=files, package="dataset-tiny", system_folders=("/usr/share/tiny",))
    (tmp_path / "default").mkdir()
    with pytest.raises(DatasetError) as caught:
        dataset.load(tmp_path / "root", train=True)
    message = str(caught.value)
    for place in dataset.places(tmp_path / "root"):
        assert f"\n  {place}: " in message
    assert f"{tmp_path / 'default'}: no complete set of the files" in message
    for url in files[0].urls:
        assert f"{url}: ConnectionRefusedError" in message
    for remedy in ("a.gz or a", "dataset_root", "ANALOGJAX_DATA", "apt-get install dataset-tiny", "Digits"):
        assert remedy in message


def test_download_false_asks_no_server(server, tmp_path):
    dataset = dataclasses.replace(Tiny, train_files=(server.file("a.gz", b"x"),))
    with pytest.raises(DatasetError, match="download=False") as caught:
        dataset.load(tmp_path, train=True, download=False)
    assert server.requests == [] and "apt-get" not in str(caught.value)
    assert not (tmp_path / "Tiny").exists()


@pytest.mark.parametrize("action", ["load", "find", "places"])
def test_a_root_that_is_a_file_is_refused(tmp_path, action):
    (tmp_path / "file").touch()
    arguments = {"train": True} if action == "load" else {}
    with pytest.raises(DatasetError, match=r"file is not a folder\. Pass the folder"):
        getattr(Tiny, action)(tmp_path / "file", **arguments)


def test_a_root_that_cannot_be_made_is_refused(server, tmp_path):
    dataset = dataclasses.replace(Tiny, train_files=(server.file("a.gz", b"x"),))
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="cannot create the folder"):
        dataset.load(tmp_path / "file" / "below", train=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folders_without_permission_are_refused(server, tmp_path):
    dataset = dataclasses.replace(Tiny, train_files=(server.file("a.gz", b"x"),))
    put(tmp_path / "locked").chmod(0)
    try:
        with pytest.raises(DatasetError, match="cannot create the folder"):
            dataset.load(tmp_path / "locked", train=True)
        with pytest.raises(DatasetError, match="no permission to read it"):
            dataset.load(tmp_path / "locked", train=True, download=False)
    finally:
        (tmp_path / "locked").chmod(0o755)


def test_an_unreadable_file_is_a_dataset_error(tmp_path, monkeypatch):
    put(tmp_path)

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DatasetError, match=r"cannot read .*train-images: Permission denied"):
        Tiny.load(tmp_path, train=True)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"images": IMAGES[:5]}, r"train-images: it holds images \[5, 3, 4\], not \[6, 3, 4\]"),
        ({"images": np.zeros((6, 3, 5), np.uint8)}, r"\[6, 3, 5\], not \[6, 3, 4\]"),
        ({"labels": LABELS[:4]}, r"train-labels: it holds labels \[4\], not \[6\]"),
        ({"labels": LABELS + 6}, "labels run from 6 to 11, not 0 to 9"),
    ],
)
def test_a_split_that_does_not_fit_is_refused(tmp_path, changes, problem):
    with pytest.raises(DatasetError, match=problem):
        Tiny.load(put(tmp_path, test=False, **changes), train=True)


def test_the_default_root(monkeypatch, tmp_path):
    monkeypatch.setenv("ANALOGJAX_DATA", "~/sets")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_root() == tmp_path / "sets"
    monkeypatch.setenv("ANALOGJAX_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_root() == tmp_path / "xdg" / "analogjax" / "datasets"
    for unusable in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        assert default_root() == tmp_path / ".cache" / "analogjax" / "datasets"


def test_an_unknown_home_is_a_dataset_error(monkeypatch):
    monkeypatch.setenv("ANALOGJAX_DATA", "~nobody-of-that-name/sets")
    with pytest.raises(DatasetError, match="Set ANALOGJAX_DATA to a full path"):
        default_root()


@pytest.mark.parametrize(("n", "kept"), [(2, 2), (0, 6), (-1, 6), (6, 6), (99, 6)])
def test_head(n, kept):
    split = Split(IMAGES, LABELS.astype(np.int32)).head(n)
    assert len(split) == len(split.images) == kept
    np.testing.assert_array_equal(split.images, IMAGES[:kept])


@pytest.mark.parametrize("name", ["FashionMNIST", "fashionmnist", "FASHIONMNIST"])
def test_names_in_any_case(name):
    assert named(name) is FashionMNIST


def test_an_unknown_name_brings_the_names_and_the_closest():
    with pytest.raises(DatasetError, match=r"'fashion-mnst'.*Did you mean FashionMNIST.*MNIST, SVHN, CIFAR10, Digits"):
        named("fashion-mnst")
    with pytest.raises(DatasetError) as caught:
        named("qqq")
    assert "Did you mean" not in str(caught.value)


def test_the_catalog():
    assert list(DATASETS.values()) == [FashionMNIST, MNIST, SVHN, CIFAR10, Digits]
    for name, dataset in DATASETS.items():
        assert dataset.name == name and dataset.classes == 10
        channels = dataset.shape[2] if len(dataset.shape) == 3 else 1
        assert len(dataset.mean) == len(dataset.std) == channels
        again = pickle.loads(pickle.dumps(dataset))
        assert again == dataset and hash(again) == hash(dataset)
        for file in dataset.train_files + dataset.test_files:
            assert file.urls and all(url.endswith("/" + file.name) for url in file.urls)
            assert len(file.md5) == 32 and int(file.md5, 16)


def test_digits_needs_no_root_and_no_download(tmp_path):
    (tmp_path / "file").touch()
    train = Digits.load(tmp_path / "file", train=True, download=False)
    test = Digits.load(train=False)
    assert train.images.shape == (1437, 8, 8) and test.images.shape == (360, 8, 8)
    assert train.images.dtype == np.uint8 and train.labels.dtype == np.int32
    assert set(np.unique(train.images)) == {round(v * 255 / 16) for v in range(17)}
    assert np.bincount(train.labels).min() > 120 and np.bincount(test.labels).min() > 25
    assert Digits.find() == Digits.embedded and os.path.getsize(Digits.embedded) < 100_000


def test_the_normalisation_of_digits_is_that_of_its_training_split():
    scaled = Digits.load(train=True).images / 255
    assert (round(scaled.mean(), 4), round(scaled.std(), 4)) == (*Digits.mean, *Digits.std)


def test_the_digits_of_each_class_look_alike():
    """Images and labels belong together: the nearest class mean names most test images."""
    train, test = (Digits.load(train=train) for train in (True, False))
    means = np.stack([train.images[train.labels == digit].mean(0) for digit in range(10)])
    distance = ((test.images[:, None] - means) ** 2).sum((2, 3))
    assert (distance.argmin(1) == test.labels).mean() > 0.85


def test_a_damaged_digits_archive_says_install_again(tmp_path):
    (tmp_path / "digits.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(DatasetError, match="install analogjax again"):
        dataclasses.replace(Digits, embedded=tmp_path / "digits.npz").load(train=True)


debian = pytest.mark.skipif(
    not Path(FashionMNIST.system_folders[0]).is_dir(), reason="Debian's dataset-fashion-mnist is not installed"
)


@debian
def test_the_real_fashion_mnist_of_debian(tmp_path):
    assert FashionMNIST.find(tmp_path) == Path(FashionMNIST.system_folders[0])
    for train, size in ((True, 60_000), (False, 10_000)):
        split = FashionMNIST.load(tmp_path, train=train, download=False)
        assert split.images.shape == (size, 28, 28)
        assert np.bincount(split.labels).tolist() == [size // 10] * 10
        assert split.images.mean() / 255 == pytest.approx(FashionMNIST.mean[0], abs=2e-3)
