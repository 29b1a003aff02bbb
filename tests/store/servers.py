"""Real object stores on loopback, in this process: moto for S3, gcp-storage-emulator for Google Storage.

Fixtures for any test folder, by its conftest.py: `from tests.store.servers import gcs_server, kind, place, s3_server`.
"""

import itertools
import logging
import os
import random
from collections.abc import Callable
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import pytest

from analogjax.store import Location

_COUNT = itertools.count(1)
_ALONE = {  # what the machine has set up for real clouds stays out of the tests
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_GCE_CHECK": "true",
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
}
_LEFT_OUT = (
    "AWS_PROFILE",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "STORAGE_EMULATOR_HOST",
    "FSSPEC_S3",
    "FSSPEC_GCS",
)


@dataclass
class Server:
    """A store: its address, and the `storage_options` that lead there."""

    protocol: str
    url: str
    make: Any = field(repr=False)
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    connected: dict[str, Any] = field(default_factory=dict, repr=False)

    def bucket(self) -> str:
        """The name of a new bucket."""
        name = f"bucket-{os.getpid()}-{next(_COUNT)}"
        self.make(name)
        return name

    def location(self, folder: str = "folder", **options: Any) -> Location:
        """A folder in a new bucket; `options` go over the storage options and make a connection of its own."""
        place = Location.of(f"{self.protocol}://{self.bucket()}/{folder}", storage_options={**self.options, **options})
        return place if options else replace(place, _connected=self.connected)  # connecting takes half a second


@contextmanager
def run_s3():
    """A moto server; `s3_client(server.url)` looks into it with plain boto3."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it logs every request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    options = {"key": "test", "secret": "test-secret", "endpoint_url": url}
    try:
        with closing(s3_client(url)) as client:
            yield Server("s3", url, lambda name: client.create_bucket(Bucket=name), options)
    finally:
        server.stop()
        server._server.server_close()  # `stop` leaves the socket open


@contextmanager
def run_gcs():
    """A Google Storage emulator."""
    from gcp_storage_emulator.handlers.buckets import create_bucket
    from gcp_storage_emulator.server import create_server

    logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)
    server = create_server("127.0.0.1", 0, in_memory=True)
    server.start()
    url = f"http://127.0.0.1:{server._api._httpd.server_address[1]}"
    options = {"token": "anon", "endpoint_url": url, "project": "p"}
    try:
        yield Server("gs", url, lambda name: create_bucket(name, server._storage), options)
    finally:
        server.stop()


def s3_client(url: str) -> Any:
    """A plain boto3 client, to look into a store past our own code; close it."""
    import boto3

    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test-secret", "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=url, **keys)


@contextmanager
def no_settings():
    """An environment without any setting for real clouds."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _ALONE.items():
            patch.setenv(name, value)
        for name in _LEFT_OUT:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def s3_server():
    """An S3 server."""
    with no_settings(), run_s3() as server:
        yield server


@pytest.fixture(scope="session")
def gcs_server():
    """A Google Storage server."""
    with no_settings(), run_gcs() as server:
        yield server


@pytest.fixture
def patient(monkeypatch):
    """Three attempts for each request, without the waiting."""
    from analogjax.store.bucket import Bucket
    from analogjax.store.transfer import Retry

    monkeypatch.setattr(Bucket, "retry", Retry(attempts=3, first=0.01))


@cache
def content(size: int, seed: int = 0) -> bytes:
    """That many bytes. They end in no line break, which the emulator would take for a part of the request's frame."""
    return random.Random(seed).randbytes(size - 1) + b"." if size else b""


@dataclass(frozen=True)
class Kind:
    """A kind of place: how the tests make a new, empty folder there, and what it cannot keep of the contract."""

    make: Callable[[pytest.FixtureRequest], Location]
    creates_once: bool = True
    takes_long_names: bool = True


KINDS = {
    "file": Kind(lambda request: Location.of(request.getfixturevalue("tmp_path") / "place"), takes_long_names=False),
    "memory": Kind(lambda _: Location.of(f"memory://place-{os.getpid()}-{next(_COUNT)}")),
    "s3": Kind(lambda request: request.getfixturevalue("s3_server").location()),
    # the emulator does not know ifGenerationMatch; test_location_faults.py looks whether it is sent
    "gs": Kind(lambda request: request.getfixturevalue("gcs_server").location(), creates_once=False),
}


def make_place(kind: str, request: pytest.FixtureRequest) -> Location:
    """A new, empty folder of a kind."""
    return KINDS[kind].make(request)


@pytest.fixture(params=KINDS)
def kind(request):
    """Each kind of place in turn."""
    return KINDS[request.param]


@pytest.fixture
def place(kind, request):
    """A new, empty folder of each kind in turn."""
    return kind.make(request)
