"""`Location` on a bad network: what passes is survived, what lasts ends soon, and damage is noticed.

Every fault happens on the wire, in a proxy before a real server.
"""

import threading
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from analogjax.store import AlreadyExists, Location, StoreError
from analogjax.store.bucket import Bucket
from analogjax.store.files import sha256_of
from tests.store.fault_proxy import FaultProxy
from tests.store.servers import Server, content, s3_client

pytestmark = pytest.mark.usefixtures("patient")
ATTEMPTS = 3  # those of `patient`
DATA = content(300_000)


@dataclass
class Wire:
    """A place behind a proxy, and the same place without the proxy."""

    proxy: FaultProxy
    place: Location
    direct: Location
    server: Server

    @property
    def up(self) -> dict[str, str]:
        """The rule's arguments for requests that carry a whole file or a part of one."""
        return {"s3": {"method": "PUT"}, "gs": {"method": "POST", "path": "/upload/.*uploadType=multipart|upload_id="}}[
            self.server.protocol
        ]

    @property
    def down(self) -> dict[str, str]:
        """Those for requests for content."""
        return {"s3": {"method": "GET", "path": "file"}, "gs": {"method": "GET", "path": "/download/"}}[
            self.server.protocol
        ]

    def count(self, which: dict[str, str]) -> int:
        """How many requests there were of this kind."""
        return self.proxy.count(**which)


def wire_to(server):
    with FaultProxy(server.url) as proxy:
        place = server.location("", endpoint_url=proxy.url)
        yield Wire(proxy, place, Location.of(place.url, storage_options=server.options), server)


@pytest.fixture(scope="module")
def s3_wire(s3_server):
    yield from wire_to(s3_server)


@pytest.fixture(scope="module")
def gs_wire(gcs_server):
    yield from wire_to(gcs_server)


def cleaned(wire, request):
    wire.proxy.clear()
    folder = f"test-{abs(hash(request.node.name))}"
    return Wire(wire.proxy, wire.place / folder, wire.direct / folder, wire.server)


@pytest.fixture(params=["s3", "gs"])
def wire(request):
    return cleaned(request.getfixturevalue(f"{request.param}_wire"), request)


@pytest.fixture
def s3(s3_wire, request):
    return cleaned(s3_wire, request)


@pytest.fixture
def gs(gs_wire, request):
    return cleaned(gs_wire, request)


@pytest.fixture
def tiny_parts(monkeypatch):
    """`DATA` comes down in three parts; going up, no store would take such small ones."""
    monkeypatch.setattr(Bucket, "part", 100_000)


@pytest.fixture
def file(tmp_path):
    (tmp_path / "file").write_bytes(DATA)
    return tmp_path / "file"


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A file that goes up in three parts."""
    monkeypatch.setattr(Bucket, "part", 5 << 20)
    (tmp_path / "large").write_bytes(content(12 << 20))
    return tmp_path / "large"


CALLS = {
    "read": lambda place, file: place.read("file"),
    "write": lambda place, file: place.write("new", DATA),
    "create": lambda place, file: place.create("newer", DATA),
    "upload": lambda place, file: place.upload(file, "newest"),
    "download": lambda place, file: place.download("file", file.with_name("down"), size=len(DATA)),
    "list": lambda place, file: place.list(),
    "folders": lambda place, file: place.folders(),
    "exists": lambda place, file: place.exists("file"),
    "delete": lambda place, file: place.delete("file"),
}
FAULTS: dict[str, dict[str, Any]] = {
    "503": {"kind": "status", "code": 503},
    "500": {"kind": "status", "code": 500},
    "429": {"kind": "status", "code": 429},
    "reset": {"kind": "reset"},
}
EACH = [(call, fault) for call in CALLS for fault in FAULTS if fault in ("503", "reset") or call in ("read", "write")]


# ------------------------------------------------------------------------------------------------- any kind of request


@pytest.mark.parametrize(("call", "fault"), EACH)
def test_what_passes_is_tried_again(wire, file, call, fault):
    wire.direct.write("file", DATA)
    wire.proxy.rule(**FAULTS[fault], count=ATTEMPTS - 1)
    result = CALLS[call](wire.place, file)
    assert len(wire.proxy.log) == ATTEMPTS
    if call in ("read", "download", "exists"):
        assert result == DATA or result is True or file.with_name("down").read_bytes() == DATA
    for name in {"write": ["new"], "create": ["newer"], "upload": ["newest"]}.get(call, []):
        assert wire.direct.read(name) == DATA
    assert call != "delete" or not wire.direct.exists("file")


@pytest.mark.parametrize(("call", "fault"), EACH)
def test_what_lasts_is_told_soon(wire, file, call, fault):
    wire.direct.write("file", DATA)
    wire.proxy.rule(**FAULTS[fault])
    with pytest.raises(StoreError, match=rf"{wire.place}.*did not answer properly.*Try again later"):
        CALLS[call](wire.place, file)
    # aiohttp repeats a request once on its own if a connection breaks, whatever it is told
    assert len(wire.proxy.log) in ((ATTEMPTS, 2 * ATTEMPTS) if fault == "reset" else (ATTEMPTS,))
    assert not file.with_name("down").exists()


@pytest.mark.parametrize(("code", "reason", "requests"), [
    (400, "BadDigest", ATTEMPTS), (400, "RequestTimeout", ATTEMPTS), (409, "ConditionalRequestConflict", ATTEMPTS),
    (400, "InvalidArgument", 1), (400, "SomethingNew", 1), (501, "NotImplemented", 1), (403, "InvalidAccessKeyId", 1),
])  # fmt: skip
def test_only_what_may_pass_is_tried_again(s3, code, reason, requests):
    s3.proxy.rule("status", code=code, reason=reason)
    with pytest.raises(StoreError):
        s3.place.write("file", DATA)
    assert len(s3.proxy.log) == requests


def test_a_slow_answer_is_waited_for(wire):
    wire.direct.write("file", DATA)
    wire.proxy.rule("delay", seconds=0.3)
    assert wire.place.read("file") == DATA and len(wire.proxy.log) == 1


def impatient(wire):
    short = {"s3": {"config_kwargs": {"read_timeout": 1}}, "gs": {"requests_timeout": 1}}[wire.server.protocol]
    options = {**wire.place.storage_options, **short}
    return Location.of(wire.place, storage_options=options)


@pytest.mark.parametrize("call", ["read", "write", "list"])
def test_a_stall_ends_and_is_tried_again(wire, file, call):
    wire.direct.write("file", DATA)
    place = impatient(wire)
    wire.proxy.rule("stall", count=1)
    begun = time.monotonic()
    CALLS[call](place, file)
    assert time.monotonic() - begun < 20 and len(wire.proxy.log) in (2, 3)  # 60 s are the default


def test_a_store_that_only_stalls(wire):
    place = impatient(wire)
    wire.proxy.rule("stall")
    begun = time.monotonic()
    with pytest.raises(StoreError, match="did not answer properly"):
        place.read("file")
    assert time.monotonic() - begun < 20 and len(wire.proxy.log) == ATTEMPTS


# -------------------------------------------------------------------------------------------- cut and damaged transfers


@pytest.mark.parametrize("fault", [{"kind": "cut_up", "after": 100_000}, {"kind": "corrupt_up"}, {"kind": "lost_ack"}])
def test_a_bad_upload_is_sent_again(wire, file, fault):
    for name, act in (("a", wire.place.write), ("b", wire.place.create)):
        wire.proxy.clear()
        wire.proxy.rule(**fault, **wire.up, count=1)
        act(name, DATA)
        assert wire.direct.read(name) == DATA and wire.count(wire.up) == 2
    wire.proxy.clear()
    wire.proxy.rule(**fault, **wire.up, count=1)
    wire.place.upload(file, "c")
    assert wire.direct.read("c") == DATA and wire.count(wire.up) == 2


@pytest.mark.parametrize("fault", [{"kind": "cut_up", "after": 100_000}, {"kind": "corrupt_up"}, {"kind": "lost_ack"}])
def test_a_bad_part_is_sent_again(wire, large, tmp_path, fault):
    if wire.server.protocol == "gs" and fault["kind"] == "lost_ack":
        pytest.skip("the emulator refuses a part that it has already, Google passes over it")
    wire.proxy.rule(**fault, **wire.up, skip=1, count=1)
    sent = wire.place.upload(large, "large")
    if wire.server.protocol == "s3":
        assert wire.count(wire.up) == 4  # one part, not the file
    wire.direct.download("large", tmp_path / "back", size=sent.size, sha256=sha256_of(large))


def test_uploads_that_are_always_damaged(wire, large):
    wire.proxy.rule("corrupt_up", **wire.up)
    for act in (
        lambda: wire.place.write("a", DATA), lambda: wire.place.create("b", DATA),
        lambda: wire.place.upload(large, "c"),
    ):  # fmt: skip
        with pytest.raises(StoreError, match="damaged"):
            act()


@pytest.mark.parametrize("fault", [{"kind": "cut_down", "after": 1000}, {"kind": "truncate"}, {"kind": "corrupt_down"}])
def test_a_bad_download_is_fetched_again(wire, file, fault):
    wire.direct.write("file", DATA)
    for act in (
        lambda: wire.place.read("file"),
        lambda: wire.place.download("file", file) and file.read_bytes(),
        lambda: wire.place.download("file", file, size=len(DATA), sha256=sha256_of(file)) and file.read_bytes(),
    ):
        wire.proxy.clear()
        wire.proxy.rule(**fault, **wire.down, count=1)
        assert act() == DATA and wire.count(wire.down) == 2


@pytest.mark.parametrize("fault", [{"kind": "cut_down", "after": 1000}, {"kind": "truncate"}])
def test_a_bad_part_is_fetched_again(wire, file, tmp_path, tiny_parts, fault):
    wire.direct.write("file", DATA)
    wire.proxy.rule(**fault, **wire.down, skip=1, count=1)
    assert wire.place.download("file", tmp_path / "back").sha256 == sha256_of(file)
    assert wire.count(wire.down) == 4  # one part, not the file


def test_damage_in_a_part_is_found_by_the_hash(wire, file, tmp_path, tiny_parts):
    wire.direct.write("file", DATA)
    wire.proxy.rule("corrupt_down", **wire.down, count=1)
    wire.place.download("file", tmp_path / "back", size=len(DATA), sha256=sha256_of(file))
    assert (tmp_path / "back").read_bytes() == DATA
    assert wire.count(wire.down) == 6


@pytest.mark.parametrize("fault", [{"kind": "cut_down", "after": 1000}, {"kind": "truncate"}, {"kind": "corrupt_down"}])
@pytest.mark.parametrize("parts", [1, 3])
def test_downloads_that_are_always_bad(wire, file, tmp_path, monkeypatch, parts, fault):
    (tmp_path / "back").write_text("old")
    wire.direct.write("file", DATA)
    monkeypatch.setattr(Bucket, "part", len(DATA) // parts)
    wire.proxy.rule(**fault, **wire.down)
    with pytest.raises(StoreError, match=rf"{wire.place}/file.*damaged|did not answer properly"):
        wire.place.download("file", tmp_path / "back", size=len(DATA), sha256=sha256_of(file))
    assert wire.count(wire.down) <= 2 * 3 * ATTEMPTS
    assert (tmp_path / "back").read_text() == "old" and not list(tmp_path.glob(".*"))


# ------------------------------------------------------------------------------------------------ creating exactly once


def test_a_lost_answer_to_our_own_creation(s3):
    s3.proxy.rule("lost_ack", method="PUT", count=1)
    s3.place.create("file", b"ours")  # the second request found what the first had made
    assert s3.direct.read("file") == b"ours" and s3.count({"method": "PUT"}) == 2


def test_a_lost_answer_to_a_creation_that_came_too_late(s3):
    s3.direct.create("file", b"theirs")
    s3.proxy.rule("lost_ack", method="PUT", count=1)
    with pytest.raises(AlreadyExists):
        s3.place.create("file", b"ours")
    assert s3.direct.read("file") == b"theirs"


def test_a_store_that_does_not_say_which_condition_failed(wire):
    wire.direct.write("file", b"theirs")
    wire.proxy.rule("status", **wire.up, code=412)  # without "If-None-Match" in the answer, as of MinIO
    with pytest.raises(AlreadyExists):
        wire.place.create("file", b"ours")
    wire.place.create("file", b"theirs")
    assert wire.count(wire.up) == 2


def test_one_of_several_creators_wins(s3):
    won, lost = [], []

    def work(name):
        try:
            s3.place.create("file", name)
            won.append(name)
        except AlreadyExists:
            lost.append(name)

    threads = [threading.Thread(target=work, args=(b"%d" % number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 5) and s3.direct.read("file") == won[0]


def test_the_condition_is_sent_to_google(gs):
    # the emulator ignores it, so this is all that can be seen here
    gs.place.create("file", b"x")
    gs.place.write("file", b"x")
    assert [path.endswith("&ifGenerationMatch=0") for method, path in gs.proxy.log if method == "POST"] == [True, False]


# ------------------------------------------------------------------------------------------------------ multipart to S3


COMPLETE = {"method": "POST", "path": r"\?uploadId="}


def dangling(wire):
    name = wire.place.url.split("/")[2]
    with closing(s3_client(wire.server.url)) as client:
        return client.list_multipart_uploads(Bucket=name).get("Uploads", [])


@pytest.mark.parametrize("fault", [
    {"kind": "lost_ack"}, {"kind": "reset"}, {"kind": "status", "code": 503},
    {"kind": "status", "code": 200, "reason": "InternalError"},  # S3 sends its 200 before it has put the parts together
])  # fmt: skip
def test_the_last_request_of_an_upload_fails_once(s3, large, tmp_path, fault):
    s3.proxy.rule(**fault, **COMPLETE, count=1)
    sent = s3.place.upload(large, "file")
    assert s3.count(COMPLETE) == (1 if fault["kind"] == "lost_ack" else 2) and dangling(s3) == []
    s3.direct.download("file", tmp_path / "back", size=sent.size, sha256=sent.sha256)


@pytest.mark.parametrize(("code", "reason"), [(404, "NoSuchUpload"), (500, "InternalError"), (400, "InvalidRequest")])
def test_the_last_request_was_heard_and_its_repetitions_fail(s3, large, tmp_path, code, reason):
    s3.proxy.rule("lost_ack", **COMPLETE, count=1)
    s3.proxy.rule("status", **COMPLETE, code=code, reason=reason)
    sent = s3.place.upload(large, "file")
    s3.direct.download("file", tmp_path / "back", size=sent.size, sha256=sent.sha256)


@pytest.mark.parametrize("size", [100, 12 << 20])
def test_a_lost_answer_does_not_turn_a_foreign_file_into_ours(s3, large, size):
    """The upload vanishes, and an older file is there, even one of the same size: that is not success."""
    s3.direct.write("file", b"x" * size)
    s3.proxy.rule("status", **COMPLETE, code=404, reason="NoSuchUpload")
    with pytest.raises(StoreError):
        s3.place.upload(large, "file")
    assert s3.direct.read("file") == b"x" * size


@pytest.mark.parametrize("path", ["partNumber=2", r"\?uploadId=", r"\?uploads"])
@pytest.mark.parametrize("fault", [FAULTS["503"], FAULTS["reset"], {"kind": "status", "code": 403}])
def test_a_failed_upload_leaves_nothing(s3, large, path, fault):
    s3.direct.write("file", b"older")
    s3.proxy.rule(**fault, method="PUT|POST", path=path)
    with pytest.raises(StoreError, match=r"file: the store (did not answer|refuses access)"):
        s3.place.upload(large, "file")
    assert dangling(s3) == [] and s3.direct.read("file") == b"older"
    most = 1 if fault.get("code") == 403 else 2 * ATTEMPTS if fault == FAULTS["reset"] else ATTEMPTS
    assert s3.proxy.count("PUT|POST", path) in (most, ATTEMPTS)


def killed_upload(wire, key):
    """What a writer leaves in the store that is killed among the parts of a large file."""
    name = wire.place.url.split("/")[2]
    with closing(s3_client(wire.server.url)) as client:
        upload = client.create_multipart_upload(Bucket=name, Key=key)["UploadId"]
        client.upload_part(Bucket=name, Key=key, UploadId=upload, PartNumber=1, Body=b"x" * 100)
    return upload


def forget(wire):
    """The bucket is shared with other tests."""
    name = wire.place.url.split("/")[2]
    with closing(s3_client(wire.server.url)) as client:
        for upload in dangling(wire):
            client.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])


def test_what_killed_uploads_left_is_found_and_removed(s3):
    folder = s3.place.url.split("/", 3)[3]
    for key in (f"{folder}/a", f"{folder}/b/c", f"{folder}-other/d", "e"):
        killed_upload(s3, key)
    s3.direct.write("kept", b"kept")
    # moto says of all uploads that they began in 2010
    assert s3.direct.discard_unfinished(older_than=1e10) == [] and len(dangling(s3)) == 4
    assert s3.direct.discard_unfinished() == ["a", "b/c"]
    assert sorted(upload["Key"] for upload in dangling(s3)) == sorted([f"{folder}-other/d", "e"])
    assert s3.direct.discard_unfinished() == [] and s3.direct.read("kept") == b"kept"
    forget(s3)


def test_more_unfinished_uploads_than_one_answer_holds(s3, monkeypatch):
    from analogjax.store import multipart

    folder = s3.place.url.split("/", 3)[3]
    ids = {killed_upload(s3, f"{folder}/{number}") for number in range(5)}
    system = s3.direct._medium.system
    call = type(system).call_s3
    monkeypatch.setattr(
        type(system),
        "call_s3",
        lambda it, name, **more: call(it, name, **more, **({"MaxUploads": 2} if "list_m" in name else {})),
    )
    bucket = s3.place.url.split("/")[2]
    assert {one["UploadId"] for one in multipart.unfinished(system, bucket, f"{folder}/", 0)} == ids
    forget(s3)


def test_an_upload_that_is_gone_already_is_no_error(s3):
    from analogjax.store import multipart

    bucket, folder = s3.place.url.split("/", 3)[2:]
    upload = {"Bucket": bucket, "Key": f"{folder}/a", "UploadId": killed_upload(s3, f"{folder}/a")}
    for _ in range(2):
        multipart.abort(s3.direct._medium.system, upload)
    assert dangling(s3) == []


def test_an_interrupted_upload_leaves_nothing(s3, large):
    def interrupt(size):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        s3.place.upload(large, "file", progress=interrupt)
    assert dangling(s3) == [] and not s3.direct.exists("file")
