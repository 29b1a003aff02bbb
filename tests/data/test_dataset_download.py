"""Downloads over a real connection to this machine, with every fault that a server and a disk can have."""

import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from analogjax.data import DatasetError, UnreachableError, download
from analogjax.data.download import TRIES, fetch

REPOSITORY = Path(__file__).parents[2]
CONTENT = bytes(range(256)) * 2000


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def part_of(file, folder, content):
    folder.mkdir(exist_ok=True)
    (folder / f"{file.name}.part").write_bytes(content)


def test_a_download_leaves_the_whole_file_and_nothing_else(server, tmp_path):
    file, seen = server.file("a.gz", CONTENT), []
    path = fetch(file, tmp_path / "new" / "raw", lambda *report: seen.append(report))
    assert path.read_bytes() == CONTENT and names(path.parent) == ["a.gz"]
    assert seen[-1] == ("a.gz", len(CONTENT), len(CONTENT)) and len(seen) > 1
    assert server.requests == [("a.gz", None)]


def test_a_file_that_is_there_is_not_asked_for_again(server, tmp_path):
    file = server.file("a.gz", CONTENT)
    fetch(file, tmp_path)
    fetch(file, tmp_path)
    assert len(server.requests) == 1


def test_a_partial_file_is_resumed(server, tmp_path):
    file, seen = server.file("a.gz", CONTENT), []
    part_of(file, tmp_path, CONTENT[:1000])
    assert fetch(file, tmp_path, lambda *report: seen.append(report)).read_bytes() == CONTENT
    assert server.requests == [("a.gz", "bytes=1000-")]
    assert seen[0][1] > 1000 and seen[-1][1:] == (len(CONTENT), len(CONTENT))


def test_a_server_without_ranges_makes_it_start_over(server, tmp_path):
    file, server.ranges = server.file("a.gz", CONTENT), False
    part_of(file, tmp_path, b"x" * (len(CONTENT) + 50))
    assert fetch(file, tmp_path).read_bytes() == CONTENT


def test_a_whole_partial_file_needs_no_network(server, tmp_path):
    file = server.file("a.gz", CONTENT)
    part_of(file, tmp_path, CONTENT)
    assert fetch(file, tmp_path).read_bytes() == CONTENT
    assert server.requests == []


def test_a_leftover_of_something_else_is_replaced(server, tmp_path):
    file = server.file("a.gz", CONTENT)
    part_of(file, tmp_path, b"x" * 1000)
    assert fetch(file, tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == ["bytes=1000-", None]


def test_a_leftover_beyond_the_end_is_replaced(server, tmp_path):
    file = server.file("a.gz", CONTENT)
    part_of(file, tmp_path, b"x" * (len(CONTENT) + 1))
    assert fetch(file, tmp_path).read_bytes() == CONTENT


def test_without_a_checksum_nothing_is_continued(server, tmp_path):
    file = dataclasses.replace(server.file("a.gz", CONTENT), md5=None)
    part_of(file, tmp_path, b"x" * 1000)
    assert fetch(file, tmp_path).read_bytes() == CONTENT
    assert server.requests == [("a.gz", None)] and names(tmp_path) == ["a.gz"]


def test_an_answer_with_another_range_is_not_used(server, tmp_path):
    file, server.shift = server.file("a.gz", CONTENT), 10
    part_of(file, tmp_path, CONTENT[:1000])
    with pytest.raises(UnreachableError, match="another range than bytes=1000-"):
        fetch(file, tmp_path)
    assert names(tmp_path) == ["a.gz.part"]


def test_a_cut_connection_goes_on_from_where_it_was_cut(server, tmp_path):
    file, server.cuts = server.file("a.gz", CONTENT), 2
    assert fetch(file, tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == [
        None,
        f"bytes={len(CONTENT) // 2}-",
        f"bytes={len(CONTENT) * 3 // 4}-",
    ]


def test_tries_are_bounded_and_what_came_is_kept(server, tmp_path):
    file, server.cuts = server.file("a.gz", CONTENT), 100
    with pytest.raises(UnreachableError, match="the connection ended after") as caught:
        fetch(file, tmp_path)
    assert len(server.requests) == TRIES and names(tmp_path) == ["a.gz.part"]
    assert caught.value.attempts[0][0] == server.url("a.gz")
    server.cuts = 0
    assert fetch(file, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(("status", "requests"), [(503, 2), (429, 2), (408, 2), (404, 1), (403, 1)])
def test_only_passing_troubles_are_tried_again(server, tmp_path, status, requests):
    file, server.statuses = server.file("a.gz", CONTENT), [status]
    if requests == 1:
        with pytest.raises(UnreachableError, match=f"HTTP {status}"):
            fetch(file, tmp_path)
    else:
        fetch(file, tmp_path)
    assert len(server.requests) == requests


def test_the_pause_doubles(server, tmp_path, monkeypatch):
    file, server.statuses, pauses = server.file("a.gz", CONTENT), [503, 503], []
    monkeypatch.setattr(download, "BACKOFF_S", 0.5)
    monkeypatch.setattr(time, "sleep", pauses.append)
    fetch(file, tmp_path)
    assert pauses == [0.5, 1.0]


def test_the_next_address_is_tried(server, dead_url, tmp_path):
    file = server.file("a.gz", CONTENT)
    file = dataclasses.replace(file, urls=("ftp://x/a", dead_url + "a.gz", server.url("gone"), *file.urls))
    assert fetch(file, tmp_path).read_bytes() == CONTENT


def test_a_server_that_says_nothing_times_out(server, tmp_path, monkeypatch):
    file, server.drip = server.file("a.gz", CONTENT), True
    monkeypatch.setattr(download, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(download, "TRIES", 1)
    waiting = threading.Event()
    monkeypatch.setattr(server.stop, "wait", lambda seconds: waiting.wait(0.3) or True)
    with pytest.raises(UnreachableError, match="TimeoutError"):
        fetch(file, tmp_path)
    waiting.set()


@pytest.mark.parametrize("ranges", [True, False])
def test_wrong_bytes_are_thrown_away(server, tmp_path, ranges):
    file, server.ranges = server.file("a.gz", CONTENT), ranges
    server.files["a.gz"] = b"<html>please log in</html>"
    part_of(file, tmp_path, CONTENT[:5])
    with pytest.raises(DatasetError, match=f"the 26 bytes.*not {file.md5}.*thrown away"):
        fetch(file, tmp_path)
    assert names(tmp_path) == []


def child(code, file, folder, *arguments):
    """A process of its own that runs `code` with `file` and `folder` known."""
    head = "import pickle, sys; file, folder = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
    known = pickle.dumps((file, folder)).hex()
    return subprocess.Popen([sys.executable, "-W", "error", "-c", head + code, known, *arguments], cwd=REPOSITORY)


FETCH = "from analogjax.data.download import fetch; fetch(file, folder)"


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "nothing happened within 10 s"
        time.sleep(0.005)


def test_a_killed_download_looks_unfinished_and_the_next_one_completes_it(server, tmp_path):
    file, server.drip = server.file("a.gz", CONTENT), True
    part = tmp_path / "a.gz.part"
    process = child(FETCH, file, tmp_path)
    wait_until(lambda: part.exists() and part.stat().st_size > 50_000)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "a.gz").exists()
    have = part.stat().st_size
    server.drip = False
    assert fetch(file, tmp_path).read_bytes() == CONTENT
    assert server.requests[-1] == ("a.gz", f"bytes={have}-") and have < len(CONTENT)
    assert names(tmp_path) == ["a.gz"]


def test_two_processes_and_two_threads_at_once_download_once(server, tmp_path):
    file, server.drip = server.file("a.gz", CONTENT), True
    processes = [child(FETCH, file, tmp_path) for _ in range(2)]
    threads = [threading.Thread(target=fetch, args=(file, tmp_path)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait() for process in processes] == [0, 0]
    assert (tmp_path / "a.gz").read_bytes() == CONTENT and names(tmp_path) == ["a.gz"]
    assert server.requests == [("a.gz", None)]


def test_the_lock_of_a_dead_process_does_not_block(server, tmp_path):
    file = server.file("a.gz", CONTENT)
    (tmp_path / "a.gz.lock").touch()
    assert fetch(file, tmp_path).read_bytes() == CONTENT


def test_a_folder_that_cannot_be_made_is_named(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match=r"cannot create the folder .*file/raw.*ANALOGJAX_DATA"):
        fetch(server.file("a.gz", CONTENT), tmp_path / "file" / "raw")


@pytest.mark.parametrize("call", ["open", "replace", "fsync"])
def test_a_disk_that_refuses_is_a_dataset_error(server, tmp_path, monkeypatch, call):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    file = server.file("a.gz", CONTENT)
    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(DatasetError, match=r"a\.gz.*Permission denied.*choose another folder"):
        fetch(file, tmp_path)
    assert not (tmp_path / "a.gz").exists()


def test_a_full_disk_is_a_dataset_error(server, tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    os.symlink("/dev/full", tmp_path / "a.gz.part")
    with pytest.raises(DatasetError, match="No space left on device"):
        fetch(server.file("a.gz", CONTENT), tmp_path)
