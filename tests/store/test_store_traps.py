"""What the object stores' clients do wrong on their own, each measured once, and that `Location` does not.

Where it is quick, the trap itself is shown too: when such a test fails after an upgrade, a workaround may go.
"""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import aiohttp
import fsspec
import pytest
from gcsfs.core import GCSFileSystem

from analogjax.store import Location, StoreError
from analogjax.store.bucket import Bucket
from analogjax.store.transfer import Retry
from tests.store.fault_proxy import FaultProxy
from tests.store.servers import content, s3_client

ROOT = Path(__file__).parents[2]
DATA = content(200_000)


@pytest.fixture
def proxy(s3_server):
    with FaultProxy(s3_server.url) as proxy:
        yield proxy


@pytest.fixture
def place(s3_server, proxy):
    return s3_server.location(endpoint_url=proxy.url)


@pytest.fixture
def plain(place):
    """s3fs as it comes."""
    return fsspec.filesystem("s3", **place.storage_options, skip_instance_cache=True)


def path(place, name):
    return f"{place.url.partition('://')[2]}/{name}"


def run(program, *arguments, **environment):
    """Runs a Python program and returns what it printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GCSFS_", "STORAGE_EMULATOR"))}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], env={**clean, **environment}, cwd=ROOT, timeout=100, text=True,
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_retries_do_not_nest(place, proxy, monkeypatch):
    """s3fs: 5 of botocore times 5 of its own, 25 requests in 38 s. Resets are doubled once more, by aiohttp."""
    monkeypatch.setattr(Bucket, "retry", Retry(first=0.001))
    for fault, most in (({"kind": "status", "code": 503}, 7), ({"kind": "reset"}, 14)):
        proxy.clear()
        proxy.rule(**fault)
        with pytest.raises(StoreError, match="did not answer properly"):
            place.write("file", b"x")
        assert len(proxy.log) == most


def test_retries_of_google_do_not_nest(gcs_server, monkeypatch):
    """gcsfs: 6 requests in 33 s, and it can't be told otherwise."""
    monkeypatch.setattr(Bucket, "retry", Retry(first=0.001))
    with FaultProxy(gcs_server.url) as proxy:
        place = gcs_server.location(endpoint_url=proxy.url)
        proxy.rule("status", code=503)
        with pytest.raises(StoreError, match="did not answer properly"):
            place.write("file", b"x")
        assert len(proxy.log) == 7


def test_our_own_write_is_no_conflict(place, proxy, plain):
    """A conditional write whose answer is lost is repeated, and then meets itself."""
    proxy.rule("lost_ack", method="PUT", count=2)
    with pytest.raises(FileExistsError):
        plain.pipe_file(path(place, "plain"), DATA, mode="create")
    proxy.clear()
    proxy.rule("lost_ack", method="PUT", count=2)
    place.create("file", DATA)
    assert place.read("file") == DATA


def test_a_store_that_takes_damaged_uploads(place, proxy, plain):
    proxy.rule("corrupt_up", method="PUT", count=2)
    plain.pipe_file(path(place, "plain"), DATA)  # no error
    place.write("file", DATA)
    assert place.read("file") == DATA and proxy.count("PUT", "file$") == 2


def test_damaged_downloads_from_google(gcs_server, tmp_path, patient, monkeypatch):
    with FaultProxy(gcs_server.url) as proxy:
        place = gcs_server.location(endpoint_url=proxy.url)
        place.write("file", DATA)
        proxy.rule("corrupt_down", method="GET", path="download", count=1)
        plain = GCSFileSystem(**place.storage_options, skip_instance_cache=True)
        assert plain.cat_file(path(place, "file")) != DATA  # no error
        GCSFileSystem.close_session(None, plain._session)
        proxy.rule("corrupt_down", method="GET", path="download", count=1)
        assert place.read("file") == DATA  # found by Google's own MD5
        monkeypatch.setattr(Bucket, "part", 50_000)
        proxy.rule("corrupt_down", method="GET", path="download", count=1)
        (tmp_path / "up").write_bytes(DATA)
        known = Location.of(tmp_path).upload(tmp_path / "up", "copy")
        place.download("file", tmp_path / "down", size=known.size, sha256=known.sha256)  # in parts: by our SHA-256
        assert (tmp_path / "down").read_bytes() == DATA


def test_failures_that_are_no_oserrors(place, proxy, plain, patient):
    place.write("file", DATA)
    proxy.rule("cut_down", method="GET", after=1000)
    with pytest.raises(aiohttp.ClientPayloadError):
        plain.retries = 1
        plain.cat_file(path(place, "file"))
    with pytest.raises(StoreError):
        place.read("file")


def test_a_store_that_fails_is_not_a_store_without_the_file(place, proxy, patient):
    place.write("file", DATA)
    proxy.rule("status", code=503)
    for ask in (lambda: place.exists("file"), place.list, place.folders, lambda: place.delete("file")):
        with pytest.raises(StoreError):
            ask()


def test_what_others_write_is_seen_at_once(place, s3_server, plain):
    """s3fs keeps listings, and so hides what other processes commit."""
    place.write("one", b"")
    assert [entry.name for entry in place.list()] == ["one"] and place.folders() == []
    assert len(plain.ls(path(place, ""))) == 1
    bucket_name, _, folder = path(place, "").partition("/")
    with closing(s3_client(s3_server.url)) as client:
        client.put_object(Bucket=bucket_name, Key=f"{folder}two")
        client.put_object(Bucket=bucket_name, Key=f"{folder}inner/three")
    assert len(plain.ls(path(place, ""))) == 1
    assert [entry.name for entry in place.list()] == ["inner/three", "one", "two"] and place.folders() == ["inner"]


def test_two_stores_of_one_protocol(s3_server, proxy):
    """fsspec keeps clients by their options; two locations of ours never share one by accident."""
    one, other = s3_server.location(), s3_server.location(endpoint_url=proxy.url)
    one.write("a", b"x")
    assert proxy.log == []
    other.write("a", b"x")
    assert len(proxy.log) == 1


_GOOGLE = """
import sys, time
import gcsfs  # before us, so no variable that we might set could reach it
from analogjax.store import Location
begun = time.monotonic()
place = Location.of(sys.argv[1], storage_options={} if sys.argv[2] == "-" else {"endpoint_url": sys.argv[2]})
place.write("file", b"content")
assert place.read("file") == b"content" and [entry.name for entry in place.list()] == ["file"]
print(time.monotonic() - begun)
"""


@pytest.mark.parametrize("by_environment", [False, True])
def test_google_emulators_do_not_stall(gcs_server, by_environment):
    """gcsfs asks a gRPC service first what kind of bucket it is, which takes minutes where there is none."""
    url = f"gs://{gcs_server.bucket()}/x"
    if by_environment:
        said = run(_GOOGLE, url, "-", STORAGE_EMULATOR_HOST=gcs_server.url.partition("://")[2])
    else:
        said = run(_GOOGLE, url, gcs_server.url)
    assert float(said) < 15


_FORK = """
import os, sys
from analogjax.store import Location
place = Location.of(sys.argv[1], storage_options={"key": "test", "secret": "test-secret", "endpoint_url": sys.argv[2]})
place.write("parent", b"x")
child = os.fork()
if not child:
    place.write("child", place.read("parent"))
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(place.read("child"))
"""


def test_a_forked_process_connects_anew(s3_server):
    """fsspec's clients refuse to work in a forked process."""
    assert "b'x'" in run(_FORK, f"s3://{s3_server.bucket()}/x", s3_server.url)


def test_connections_are_closed(s3_server, gcs_server):
    program = """
import gc, sys, warnings
warnings.simplefilter("error")
from analogjax.store import Location
for protocol, bucket, url in (sys.argv[1:4], sys.argv[4:7]):
    options = {"key": "test", "secret": "s"} if protocol == "s3" else {}
    for _ in range(2):
        place = Location.of(f"{protocol}://{bucket}/x", storage_options={**options, "endpoint_url": url})
        place.write("a", b"x")
        del place
        gc.collect()
place = Location.of(f"{protocol}://{bucket}/x", storage_options={**options, "endpoint_url": url})
place.read("a")
"""
    stores = [(server.protocol, server.bucket(), server.url) for server in (s3_server, gcs_server)]
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore", "-c", program, *stores[0], *stores[1]], cwd=ROOT,
        timeout=100, text=True, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0 and "nclosed" not in done.stderr and "Traceback" not in done.stderr, done.stderr
