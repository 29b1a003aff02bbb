"""Each published format, whole and damaged."""

import os
import pickle
import sys

import numpy as np
import pytest
from samples import arrays, gz, idx, python2_batch, python3_batch, tar_gz

from analogjax.data import CIFAR10, SVHN, DatasetError
from analogjax.data.cifar import read_cifar10
from analogjax.data.idx import read_idx, read_idx_pair
from analogjax.data.matlab import read_svhn
from analogjax.errors import MissingPackage

IMAGES, LABELS = arrays(6)


@pytest.mark.parametrize("pack", [gz, bytes], ids=["gzip", "plain"])
def test_idx_files_give_their_arrays(tmp_path, pack):
    paths = tmp_path / "images", tmp_path / "labels"
    for path, array in zip(paths, (IMAGES, LABELS), strict=True):
        path.write_bytes(pack(idx(array)))
    images, labels = read_idx_pair(paths, True)
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)
    assert images.flags.writeable


GOOD = idx(IMAGES)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (GOOD[:-1], "72 bytes, 71 follow"),
        (GOOD + b"x", "72 bytes, 73 follow"),
        (GOOD[:7], "only 7 bytes"),
        (b"", "only 0 bytes"),
        (idx(IMAGES, magic=0x0D03), "0x00000d03, not 0x00000803"),
        (idx(LABELS) + bytes(20), "0x00000801, not 0x00000803"),
        (gz(GOOD)[:-12], "gzip data are truncated or damaged"),
        (gz(GOOD)[:20] + b"\xff" * 20 + gz(GOOD)[40:], "gzip data are truncated or damaged"),
        (gz(GOOD)[:5], "gzip data are truncated or damaged"),
    ],
)
def test_a_damaged_idx_file_is_named_with_the_remedy(tmp_path, content, problem):
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=problem) as caught:
        read_idx(path, dims=3)
    assert str(path) in str(caught.value) and "Delete this file" in str(caught.value)


def svhn_file(path, **changed):
    from scipy.io import savemat

    images, _ = arrays(4, (32, 32, 3))
    labels = np.array([[1], [10], [9], [2]], np.uint8)
    savemat(path, {"X": images.transpose(1, 2, 3, 0), "y": labels} | changed, do_compression=True)
    return images


def test_svhn_puts_items_first_and_calls_ten_zero(tmp_path):
    path = tmp_path / "train_32x32.mat"
    expected = svhn_file(path)
    images, labels = read_svhn((path,), True)
    np.testing.assert_array_equal(images, expected)
    assert labels.tolist() == [1, 0, 9, 2] and images.flags.c_contiguous


def test_a_damaged_svhn_file_is_named(tmp_path):
    path = tmp_path / "train_32x32.mat"
    svhn_file(path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:100], b"", b"<html>not here</html>" * 50):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=r"train_32x32\.mat: .*Delete this file"):
            read_svhn((path,), True)


def test_a_matlab_file_of_something_else_is_refused(tmp_path):
    from scipy.io import savemat

    path = tmp_path / "train_32x32.mat"
    savemat(path, {"X": np.zeros(3)})
    with pytest.raises(DatasetError, match="lacks the variable y"):
        read_svhn((path,), True)
    svhn_file(path, X=np.zeros((2, 2)))
    with pytest.raises(DatasetError, match=r"X should be uint8"):
        read_svhn((path,), True)
    svhn_file(path, y=np.array([0.5]))
    with pytest.raises(DatasetError, match=r"y should be whole numbers"):
        read_svhn((path,), True)


def test_without_scipy_the_install_command_is_given(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(MissingPackage, match="pip install scipy"):
        SVHN.read((tmp_path / "train_32x32.mat",), True)


def cifar_members(pickled):
    """A tiny CIFAR-10, with its images `[N, 32, 32, 3]` and labels of the training split."""
    members, images, labels = {}, [], []
    for i, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        batch, numbers = arrays(2, (32, 32, 3), seed=i)
        members[f"cifar-10-batches-py/{name}"] = pickled(batch.transpose(0, 3, 1, 2).reshape(2, -1), numbers + i)
        images.append(batch)
        labels.append(numbers + i)
    return members, np.concatenate(images[:5]), np.concatenate(labels[:5])


@pytest.mark.parametrize("pickled", [python2_batch, python3_batch])
@pytest.mark.parametrize("layout", ["archive", "folder"])
def test_cifar10_is_read_from_the_archive_and_unpacked(tmp_path, pickled, layout):
    members, expected, numbers = cifar_members(pickled)
    if layout == "archive":
        train = test = tmp_path / "cifar-10-python.tar.gz"
        train.write_bytes(tar_gz(members))
    else:
        (tmp_path / "cifar-10-batches-py").mkdir()
        for name, content in members.items():
            (tmp_path / name).write_bytes(content)
        train, test = (tmp_path / "cifar-10-batches-py" / name for name in ("data_batch_1", "test_batch"))
    images, labels = read_cifar10((train,), True)
    np.testing.assert_array_equal(images, expected)
    np.testing.assert_array_equal(labels, numbers)
    assert images.dtype == np.uint8 and images.flags.c_contiguous
    assert len(read_cifar10((test,), False)[0]) == 2


class Bomb:
    """Makes a folder when an ordinary unpickler loads it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_bomb_does_not_go_off(tmp_path, protocol):
    crater = tmp_path / "crater"
    (tmp_path / "test_batch").write_bytes(pickle.dumps({"data": Bomb(str(crater)), "labels": []}, protocol))
    with pytest.raises(DatasetError, match=r"asks for posix\.mkdir"):
        read_cifar10((tmp_path / "test_batch",), False)
    assert not crater.exists()


@pytest.mark.parametrize("name", ["builtins\neval", "os\nsystem", "numpy\nload", "numpy.core.multiarray\nscalar"])
def test_no_other_name_is_unpickled(tmp_path, name):
    (tmp_path / "test_batch").write_bytes(b"c" + name.encode() + b"\n.")
    with pytest.raises(DatasetError, match="which a CIFAR-10 batch has no use for"):
        read_cifar10((tmp_path / "test_batch",), False)


PAIR = np.zeros((2, 3072), np.uint8)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (python2_batch(PAIR, [0, 1])[:-20], "not a pickled batch"),
        (b"", "not a pickled batch"),
        (pickle.dumps([1, 2], 2), "should be a dict, it is a list"),
        (pickle.dumps(7, 2), "should be a dict, it is a int"),
        (pickle.dumps({}, 2), "should hold data"),
        (pickle.dumps({"data": [0, 1], "labels": [0]}, 2), "should hold data"),
        (python3_batch(PAIR[:, :7], [0, 1]), "should hold data"),
        (python3_batch(PAIR.astype(np.float32), [0, 1]), "f4.*where bytes are expected"),
        (pickle.dumps({"data": PAIR, "labels": ["a", "b"]}, 2), "should hold labels"),
        (pickle.dumps({"data": PAIR, "labels": [1, 2**80]}, 2), "should hold labels"),
        (pickle.dumps({b"\xff": 1}, 2), "should hold data"),
    ],
)
def test_a_damaged_cifar10_batch_is_named(tmp_path, content, problem):
    path = tmp_path / "test_batch"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=problem) as caught:
        read_cifar10((path,), False)
    assert str(path) in str(caught.value)


def test_an_incomplete_cifar10_is_named(tmp_path):
    members, _, _ = cifar_members(python2_batch)
    archive = tmp_path / "cifar-10-python.tar.gz"
    archive.write_bytes(tar_gz(members)[:-300])
    with pytest.raises(DatasetError, match="truncated or damaged"):
        read_cifar10((archive,), True)
    del members["cifar-10-batches-py/data_batch_3"]
    archive.write_bytes(tar_gz(members))
    with pytest.raises(DatasetError, match="lacks data_batch_3"):
        read_cifar10((archive,), True)
    (tmp_path / "data_batch_1").write_bytes(members["cifar-10-batches-py/data_batch_1"])
    with pytest.raises(DatasetError, match="data_batch_2"):
        read_cifar10((tmp_path / "data_batch_1",), True)


def test_the_unpacked_folder_itself_may_be_the_root(tmp_path):
    members, _, _ = cifar_members(python2_batch)
    for name, content in members.items():
        (tmp_path / os.path.basename(name)).write_bytes(content)
    assert CIFAR10.find(tmp_path) == tmp_path
    with pytest.raises(DatasetError, match=r"\[10, 32, 32, 3\], not \[50000, 32, 32, 3\]"):
        CIFAR10.load(tmp_path, train=True)
