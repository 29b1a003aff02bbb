"""`Location`: pages, parts, and what the stores of S3 and Google do that no other kind of place does."""

import os
from contextlib import closing

import pytest

from analogjax.store import Location, StoreError
from analogjax.store.bucket import Bucket
from analogjax.store.files import sha256_of
from tests.store.fault_proxy import FaultProxy
from tests.store.servers import content, s3_client


def names(entries):
    return [entry.name for entry in entries]


def test_many_files_are_listed_in_pages(s3_server, monkeypatch):
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    place = s3_server.location()
    for number in range(10):
        place.write(f"{number % 2}/{number}", b"")
    assert len(place.list()) == 10 and place.folders() == ["0", "1"]
    assert names(place.list("1")) == ["1/1", "1/3", "1/5", "1/7", "1/9"]


@pytest.mark.parametrize("kind", ["s3_server", "gcs_server"])
def test_a_whole_bucket_and_the_folders_that_consoles_make(kind, request):
    server = request.getfixturevalue(kind)
    bucket = server.bucket()
    place = Location.of(f"{server.protocol}://{bucket}", storage_options=server.options)
    assert (place.list(), place.folders()) == ([], [])
    place.write("top", b"x")
    place.write("made/file", b"x")
    if server.protocol == "s3":
        with closing(s3_client(server.url)) as client:
            for key in ("made/", "made/empty/", "alone/"):
                client.put_object(Bucket=bucket, Key=key)
        assert (place / "made").folders() == ["empty"] and (place / "alone").folders() == []
        place.delete("made/empty/")
    assert names(place.list()) == ["made/file", "top"] and "made" in place.folders()
    assert names((place / "made").list()) == ["file"]


def test_memory_without_a_folder():
    place = Location.of("memory://")
    place.write("at-the-root", b"x")
    (place / "folder-at-the-root").write("file", b"y")
    assert "at-the-root" in names(place.list()) and "folder-at-the-root" in place.folders()
    assert place.read("folder-at-the-root/file") == b"y"
    place.delete("at-the-root", "folder-at-the-root/file")


@pytest.mark.parametrize("kind", ["s3_server", "gcs_server"])
def test_a_large_file_goes_in_parts(kind, request, tmp_path):
    server = request.getfixturevalue(kind)
    (tmp_path / "up").write_bytes(content(40 << 20))
    with FaultProxy(server.url) as proxy:
        place = server.location(endpoint_url=proxy.url)
        moved = []
        sent = place.upload(tmp_path / "up", "large", progress=moved.append)
        part = ("PUT", r"partNumber=\d") if server.protocol == "s3" else ("POST", "upload_id=")
        assert proxy.count(*part) == 3 and sum(moved) == 40 << 20
        proxy.clear()
        place.download("large", tmp_path / "down", size=sent.size, sha256=sent.sha256, progress=moved.append)
        assert proxy.count("GET", "large") == 3 and sum(moved) == 80 << 20
        assert place.download("large", tmp_path / "again") == sent
        assert sha256_of(tmp_path / "down") == sent.sha256


def test_a_file_that_shrinks_while_it_is_uploaded(s3_server, tmp_path, monkeypatch):
    monkeypatch.setattr(Bucket, "part", 5 << 20)  # more parts than are sent at a time
    (tmp_path / "up").write_bytes(bytes(40 << 20))
    place = s3_server.location()
    with pytest.raises(StoreError, match="changed while it was uploaded"):
        place.upload(tmp_path / "up", "x", progress=lambda _: os.truncate(tmp_path / "up", 100))
    assert not place.exists("x")
