"""Checkpoints: bit-exact round trips, refusals that say why, retention, damage, and several writers."""

import asyncio
import dataclasses
import errno
import json
import math
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import define_prng_impl

from analogjax.store import CheckpointError, Checkpoints, arrays

ROOT = Path(__file__).parents[2]
BITS = np.array([0x7FC12345, 0xFFC00001, 0x7F812345, 0x80000000, 1], np.uint32)  # NaNs with payloads, -0, subnormal


class Pair(NamedTuple):
    first: object
    second: object


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Cells:
    w: jax.Array
    bound: object
    name: str = dataclasses.field(default="cells", metadata={"static": True})


COUNTING = define_prng_impl(
    key_shape=(3,),
    seed=lambda seed: jnp.stack([seed.astype(jnp.uint32)] * 3),
    split=lambda key, shape: jnp.zeros((*shape, 3), jnp.uint32) + jax.lax.broadcast(key * 3, shape),
    random_bits=lambda key, width, shape: jnp.zeros(shape, jnp.dtype(f"uint{width}")),
    fold_in=lambda key, data: key + data,
    name="counting",
    tag="counting",
)


def bits(leaf):
    data = jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
    return str(leaf.dtype), leaf.shape, np.asarray(data).tobytes()


def assert_same(restored, tree):
    assert jax.tree.structure(restored) == jax.tree.structure(tree)
    for new, old in zip(jax.tree.leaves(restored), jax.tree.leaves(tree), strict=True):
        assert bits(new) == bits(old)
        assert isinstance(new, jax.Array) == isinstance(old, jax.Array)


def structs(tree):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)


def small(step=0):
    return {"w": jnp.full((3, 4), step, jnp.float32), "n": jnp.int32(step)}


TREES = {
    "dtypes": {
        "float32": jnp.arange(6, dtype=jnp.float32).reshape(2, 3) / 7,
        "int32": jnp.array([-5, 2**31 - 1], jnp.int32),
        "uint8": jnp.arange(256, dtype=jnp.uint8),
        "bool": jnp.array([True, False]),
        "uint32": jnp.array([2**32 - 1], jnp.uint32),
        "bfloat16": jnp.array([1.5, -0.0], jnp.bfloat16),
        "complex64": jnp.array([1 + 2j], jnp.complex64),
    },
    "bits": {"mixed": jnp.asarray(BITS.view(np.float32)), "minus zero": jnp.full((5,), -0.0), "zero": jnp.zeros(3)},
    "ranks": [jnp.float32(-0.0), jnp.int32(3), jnp.bool_(True), jnp.ones((2, 1, 3, 1, 2)), jnp.zeros((1,))],
    "empty": {"rows": jnp.zeros((0, 4)), "columns": jnp.zeros((4, 0), jnp.int32), "one": jnp.ones(1)},
    "only empty": (jnp.zeros((0,)),),
    "keys": {
        "default": jax.random.key(3),
        "rbg": jax.random.split(jax.random.key(3, impl="rbg"), (2, 3)),
        "custom": jax.random.key(9, impl=COUNTING),
        "customs": jax.random.split(jax.random.key(9, impl=COUNTING), 3),
        "none of them": jax.random.split(jax.random.key(1), 3)[:0],
    },
    "containers": {
        "b": (Pair(jnp.ones(2), None), [jnp.zeros(3), {"x": None}]),
        "a": {"deep": {"deeper": Cells(w=jnp.ones((2, 2)), bound=Pair(jnp.float32(1), (jnp.uint8(2),)))}},
        "": jnp.ones(1),
        "a/b.c[0]'": jnp.ones(2),
    },
    "leaf": jnp.arange(3.0),
    "none": None,
    "nothing": {},
    "numpy": {"float64": np.full((2,), 1 / 3), "int64": np.array(2**40), "bits": BITS.view(np.float32)},
    "many": [jnp.float32(i) for i in range(300)],
}


@pytest.mark.parametrize("name", TREES)
def test_round_trip_is_bit_exact(tmp_path, name):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(42, TREES[name], {"name": name})
    restored, meta = Checkpoints(tmp_path).restore(TREES[name])
    assert_same(restored, TREES[name])
    assert meta == {"name": name} == checkpoints.meta(42)
    if name != "numpy":
        assert_same(checkpoints.restore(structs(TREES[name]), 42)[0], TREES[name])


def test_restored_keys_draw_the_same(tmp_path):
    tree = {"a": jax.random.key(5), "b": jax.random.key(5, impl=COUNTING)}
    Checkpoints(tmp_path).save(1, tree, {})
    restored, _ = Checkpoints(tmp_path).restore(structs(tree))
    assert jax.random.key_impl(restored["b"]) == COUNTING
    assert jnp.array_equal(jax.random.normal(restored["a"], (4,)), jax.random.normal(jax.random.key(5), (4,)))
    assert bits(jax.random.split(restored["b"])) == bits(jax.random.split(jax.random.key(5, impl=COUNTING)))


def test_saving_does_not_use_up_a_key(tmp_path):
    with jax.debug_key_reuse(True):
        key = jax.random.key(0)
        checkpoints = Checkpoints(tmp_path)
        checkpoints.save(1, {"key": key}, {})
        jax.random.split(key)  # consumed now
        checkpoints.save(2, {"key": key}, {})
        jax.random.split(checkpoints.restore({"key": key})[0]["key"])


def test_a_donated_tree_still_says_what_to_restore(tmp_path):
    tree = small(3)
    Checkpoints(tmp_path).save(1, tree, {})
    jax.jit(lambda x: jax.tree.map(lambda leaf: leaf + 1, x), donate_argnums=0)(tree)
    assert tree["w"].is_deleted()
    assert_same(Checkpoints(tmp_path).restore(tree)[0], small(3))


def test_placement_follows_like(tmp_path):
    device = jax.devices()[-1]
    mesh = jax.make_mesh((len(jax.devices()),), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    tree = {
        "free": jnp.ones(4),
        "fixed": jax.device_put(jnp.ones(4), device),
        "rows": jax.device_put(jnp.arange(8, dtype=jnp.float32), rows),
        "keys": jax.device_put(jax.random.split(jax.random.key(0), 8), rows),
        "empty": jax.device_put(jnp.ones((0,)), device),
    }
    Checkpoints(tmp_path).save(1, tree, {})
    like = tree | {"rows": jax.ShapeDtypeStruct((8,), jnp.float32, sharding=rows)}
    restored, _ = Checkpoints(tmp_path).restore(like)
    for name in tree:
        assert restored[name].sharding == tree[name].sharding
        assert restored[name].committed == tree[name].committed
        assert bits(restored[name]) == bits(tree[name])


def test_a_64_bit_array_is_not_cut_silently(tmp_path):
    with jax.enable_x64(True):
        tree = {"w": jnp.full((2,), 1 / 3, jnp.float64)}
        Checkpoints(tmp_path).save(1, tree, {})
        assert_same(Checkpoints(tmp_path).restore(tree)[0], tree)
    with jax.enable_x64(False), pytest.raises(CheckpointError, match=r"'w'.*float64.*jax_enable_x64"):
        Checkpoints(tmp_path).restore(tree)


def test_works_inside_a_running_event_loop(tmp_path):
    async def notebook():
        Checkpoints(tmp_path).save(1, small(1), {})
        return Checkpoints(tmp_path).restore(small())[0]

    assert_same(asyncio.run(notebook()), small(1))


META = {
    "loss": math.inf,
    "losses": [-math.inf, 0.1, -0.0, 5e-324],
    "best": None,
    "nested": {"$float": "nan", "$$": 1, "": {"a": [True, 2**70]}},
    "text": "\u00e4\u0000\ud800",
}


def test_meta_is_lossless(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, small(), META | {"bad": math.nan})
    meta = checkpoints.meta(1)
    assert math.isnan(meta.pop("bad"))
    assert meta == META
    assert math.copysign(1, meta["losses"][2]) == -1
    json.loads((tmp_path / "step_000000000001" / "MANIFEST.json").read_text(), parse_constant=pytest.fail)


CYCLE: dict = {}
CYCLE["again"] = CYCLE


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({"a": {"b": [1, np.float32(2)]}}, r"meta\['a'\]\['b'\]\[1\] is of type float32"),
        ({"a": {3: 1}}, r"meta\['a'\] has the key 3"),
        ({"a": {1, 2}}, "type set"),
        (CYCLE, "contains itself"),
        ([1], "list; give a dictionary"),
    ],
)
def test_a_meta_that_json_cannot_hold_is_refused_before_anything_is_written(tmp_path, meta, message):
    checkpoints = Checkpoints(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CheckpointError, match=message):
        checkpoints.save(1, small(), meta)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "leaf", [1.5, "name", object(), np.array("text"), np.array([None]), np.datetime64("2020-01-01")]
)
def test_a_leaf_that_is_no_array_of_numbers_is_refused(tmp_path, leaf):
    with pytest.raises(CheckpointError, match=r"\['a'\]\[1\]"):
        Checkpoints(tmp_path).save(1, {"a": [jnp.ones(1), leaf]}, {})
    assert Checkpoints(tmp_path).steps() == []


@pytest.mark.parametrize("step", [-1, 1.0, True, "3", None])
def test_a_step_that_is_no_natural_number_is_refused(tmp_path, step):
    with pytest.raises(CheckpointError, match="step"):
        Checkpoints(tmp_path).save(step, small(), {})


def ones(*shape):
    return jnp.ones(shape, jnp.float32)


def test_another_model_is_refused_with_the_paths_that_differ(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"a": ones(2, 3), "b": ones(2), "c": None, "k": jax.random.key(0)}, {})
    fits = {"a": ones(2, 3), "b": ones(2), "c": None, "k": jax.random.key(0)}
    for change, message in [
        ({"a": ones(3, 2)}, r"\['a'\]: float32\[2, 3\] in the checkpoint, float32\[3, 2\] in the model"),
        ({"a": jnp.ones((2, 3), jnp.int32)}, r"\['a'\]: float32\[2, 3\].*int32\[2, 3\]"),
        ({"c": ones(1)}, r"\['c'\]: None in the checkpoint, float32\[1\] in the model"),
        ({"b": None}, r"\['b'\]: float32\[2\] in the checkpoint, None in the model"),
        ({"b": (ones(2),)}, r"\['b'\]\[0\]: absent in the checkpoint(.|\n)*\['b'\]: float32\[2\].*absent"),
        ({"k": jax.random.key(0, impl=COUNTING)}, r"key<fry> 2\[\].*key<counting> 3\[\]"),
        ({str(i): ones(1) for i in range(5)}, r"and 2 more"),
    ]:
        with pytest.raises(CheckpointError, match=r"another model(.|\n)*" + message):
            checkpoints.restore(fits | change)
    assert_same(checkpoints.restore(fits)[0], fits)


def test_retention(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep_last=2)
    assert (checkpoints.steps(), checkpoints.latest()) == ([], None)
    for step in (1, 2, 30, 4):
        path = checkpoints.save(step, small(step), {})
        assert path == tmp_path / f"step_{step:012d}"
        assert path.is_dir()
    assert checkpoints.steps() == [2, 4, 30] or checkpoints.steps() == [4, 30]
    checkpoints.save(31, small(31), {})
    assert checkpoints.steps() == [30, 31]
    checkpoints.save(5, small(5), {})  # a rewound run: what it has just saved stays
    assert checkpoints.steps() == [5, 30, 31]
    everything = Checkpoints(tmp_path, keep_last=0)
    everything.save(32, small(32), {})
    assert everything.steps() == [5, 30, 31, 32]
    Checkpoints(tmp_path, keep_last=1).save(33, small(33), {})
    assert everything.steps() == [33]
    assert sorted(os.listdir(tmp_path)) == [".lock", "step_000000000033"]


def test_saving_a_step_again_replaces_it(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, small(1), {"a": 1})
    checkpoints.save(1, small(2), {"a": 2})
    restored, meta = checkpoints.restore(small())
    assert_same(restored, small(2))
    assert meta == {"a": 2}
    assert sorted(os.listdir(tmp_path)) == [".lock", "step_000000000001"]


def test_delete(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, small(), {})
    checkpoints.delete(1)
    assert checkpoints.steps() == []
    for use in (checkpoints.delete, checkpoints.meta, lambda step: checkpoints.restore(small(), step)):
        with pytest.raises(CheckpointError, match=f"no checkpoint of step 1 in {tmp_path}; there are: none"):
            use(1)


def test_an_empty_folder_has_nothing_to_restore(tmp_path):
    with pytest.raises(CheckpointError, match=f"no checkpoint to restore in {tmp_path}"):
        Checkpoints(tmp_path).restore(small())


def flip(file, at=None):
    data = bytearray(file.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 4
    file.write_bytes(data)


DAMAGE = {
    "flipped": flip,
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "emptied": lambda file: file.write_bytes(b""),
    "missing": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_of_any_file_is_found_and_named(tmp_path, damage):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, small(1), {"step": 1})
    path = checkpoints.save(2, small(2), {"step": 2})
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.stat().st_size)
    assert len(files) > 5
    for file in files:
        good = file.read_bytes()
        DAMAGE[damage](file)
        with pytest.raises(CheckpointError, match=file.name):
            checkpoints.restore(small(), 2)
        with pytest.warns(UserWarning, match=rf"{file}(.|\n)*Step 2 is passed over"):
            restored, meta = checkpoints.restore(small())
        assert_same(restored, small(1))
        assert meta == {"step": 1}
        if damage != "flipped":
            assert checkpoints.steps() == [1]
        file.write_bytes(good)
    assert_same(checkpoints.restore(small())[0], small(2))


def test_any_flipped_byte_of_a_manifest_is_found(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    manifest = checkpoints.save(1, small(), {"n": 12345}) / "MANIFEST.json"
    good = manifest.read_bytes()
    for at in range(len(good)):
        flip(manifest, at)
        if good[at : at + 1].isspace():
            continue  # a blank flipped may still be the same JSON
        with pytest.raises(CheckpointError, match=r"MANIFEST|format"):
            checkpoints.meta(1)
        manifest.write_bytes(good)


def test_all_damaged(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        (checkpoints.save(step, small(), {}) / "MANIFEST.json").unlink()
    with pytest.warns(UserWarning, match="passed over"), pytest.raises(CheckpointError, match=r"\[1, 2\] are damaged"):
        checkpoints.restore(small())
    assert checkpoints.latest() is None


def test_a_newer_format_says_which_version_is_needed(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, small(), {})
    manifest = checkpoints.save(2, small(), {}) / "MANIFEST.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 7}))
    assert checkpoints.latest() == 2
    for step in (2, None):
        with pytest.raises(CheckpointError, match="reads format 7"):
            checkpoints.restore(small(), step)


REFUSED = ["s3:/bucket", "gs:/bucket/run", "memory:/x", "simplecache::s3://b", "ftp://b/run", "s3://", "s3://b/../c"]


@pytest.mark.parametrize("folder", [*REFUSED, Path("s3://bucket/run"), Path("simplecache::s3://b")], ids=repr)
def test_addresses_that_lead_nowhere_are_refused_and_nothing_is_created(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"lost a slash|is not known|names no bucket|'\.\.'"):
        Checkpoints(folder)
    assert os.listdir(tmp_path) == []


def test_folders_that_cannot_be_used(tmp_path):
    (tmp_path / "file").write_text("mine")
    for folder, message in [
        (tmp_path / "file", "file"),
        (tmp_path / "file" / "below", "Not a directory"),
        (Path("/proc/self/x"), "/proc/self/x"),
        ("", "empty"),
        ("/sys", "/sys"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            Checkpoints(folder)
    assert (tmp_path / "file").read_text() == "mine"


def test_the_folder_is_created_and_may_be_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoints = Checkpoints("a/b")
    monkeypatch.chdir("/")
    checkpoints.save(1, small(), {})
    assert (tmp_path / "a" / "b" / "step_000000000001").is_dir()


def test_read_only(tmp_path):
    with pytest.raises(CheckpointError, match="no folder"):
        Checkpoints(tmp_path / "x", read_only=True)
    Checkpoints(tmp_path / "y").save(1, small(1), {})
    (tmp_path / "y" / ".lock").unlink()
    (tmp_path / "y" / ".trash-1").mkdir()
    before = sorted(tmp_path.rglob("*"))
    reader = Checkpoints(tmp_path / "y", read_only=True)
    assert_same(reader.restore(small())[0], small(1))
    for change in (lambda: reader.save(2, small(), {}), lambda: reader.delete(1)):
        with pytest.raises(CheckpointError, match="read_only"):
            change()
    assert sorted(tmp_path.rglob("*")) == before


class FailingFsync:
    """Stands in for `os.fsync`: counts its calls, and says at the `failing`-th that the disk is full."""

    def __init__(self, failing):
        self.failing, self.calls, self.real = failing, 0, os.fsync

    def __call__(self, handle):
        self.calls += 1
        if self.calls == self.failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.real(handle)


@pytest.mark.parametrize("step", [1, 2])
def test_a_full_disk_at_any_fsync_leaves_everything_as_before(tmp_path, monkeypatch, step):
    checkpoints = Checkpoints(tmp_path, keep_last=1)
    checkpoints.save(1, small(1), {"step": 1})
    before = sorted(tmp_path.rglob("*"))
    for failing in range(1, 1000):
        with monkeypatch.context() as patched:
            fsync = FailingFsync(failing)
            patched.setattr(os, "fsync", fsync)
            try:
                checkpoints.save(step, small(9), {"step": 9})
            except CheckpointError as error:
                assert "No space left" in str(error) and "disk is full" in str(error)
            else:
                break
        assert sorted(tmp_path.rglob("*")) == before
        assert_same(checkpoints.restore(small())[0], small(1))
    # The last fsync belongs to retention: the save itself is complete then.
    assert failing > 10
    assert_same(checkpoints.restore(small())[0], small(9))
    assert checkpoints.steps() == [step]


def test_a_full_disk_on_opening(tmp_path, monkeypatch):
    def mkdir(*_arguments, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(CheckpointError, match=f"{tmp_path / 'new'}.*No space left.*disk is full"):
        Checkpoints(tmp_path / "new")


LIMITED = """
import resource, sys, numpy as np
from analogjax.store import CheckpointError, Checkpoints
checkpoints = Checkpoints(sys.argv[1])
checkpoints.save(1, {"w": np.zeros(10)}, {})
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
try:
    checkpoints.save(2, {"w": np.random.default_rng(0).standard_normal(2_000_000)}, {})
except CheckpointError as error:
    print(error)
"""


def run(code, *arguments):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_write_that_fails_inside_orbax_is_explained_and_leaves_nothing(tmp_path):
    output, errors = run(LIMITED, tmp_path).communicate()
    assert "File too large" in output
    assert "ulimit -f" in output
    assert "Traceback" not in errors
    assert sorted(os.listdir(tmp_path)) == [".lock", "step_000000000001"]
    assert Checkpoints(tmp_path).latest() == 1


def test_an_interrupted_save_leaves_nothing(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)

    def write(folder, tree):
        (folder / "half").mkdir(parents=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(arrays, "write", write)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save(1, small(), {})
    assert os.listdir(tmp_path) == [".lock"]


WRITER = """
import sys, numpy as np
from analogjax.store import Checkpoints
first = int(sys.argv[2])
for step in range(first, 20, 2):
    Checkpoints(sys.argv[1], keep_last=0).save(step, {"w": np.full(1000, step)}, {"step": step})
Checkpoints(sys.argv[1], keep_last=0).save(99, {"w": np.full(1000, first)}, {"step": first})
"""


def test_two_processes_may_save_into_one_folder(tmp_path):
    writers = [run(WRITER, tmp_path, first) for first in (0, 1)]
    for writer in writers:
        assert writer.communicate()[1] == ""
        assert writer.returncode == 0
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps() == [*range(20), 99]
    for step in checkpoints.steps():
        tree, meta = checkpoints.restore({"w": np.zeros(1000, int)}, step)
        assert (tree["w"] == meta["step"]).all()
        assert step == 99 or meta == {"step": step}


def test_threads_may_save_and_restore_at_once(tmp_path):
    failures = []

    def work(first):
        try:
            checkpoints = Checkpoints(tmp_path, keep_last=2)
            for step in range(first, 10, 2):
                checkpoints.save(step, small(step), {"step": step})
                tree, meta = checkpoints.restore(small())  # may be the step of the other thread
                assert int(tree["n"]) == meta["step"]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert Checkpoints(tmp_path).latest() == 9


def test_orbax_is_imported_late():
    code = "import sys, analogjax.store; print({'orbax', 'orbax.checkpoint', 'tensorstore'} & sys.modules.keys())"
    assert run(code).communicate()[0] == "set()\n"
