"""`Location`: disks that refuse, URLs and options that do not fit, secrets, and errors that help."""

import os
import pickle
import socket
import subprocess
import sys
import threading
import traceback
from pathlib import Path

import pytest

from analogjax.errors import MissingPackage
from analogjax.store import AlreadyExists, Location, NotFound, StoreError
from tests.store.fault_proxy import FaultProxy

ROOT = Path(__file__).parents[2]


def names(entries):
    return [entry.name for entry in entries]


# --------------------------------------------------------------------------------------------------------- local disks


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "a").write_text("mine")
    place = Location.of(tmp_path)
    for act in (
        lambda: place.write("a/b", b""),
        lambda: place.create("a/b", b""),
        lambda: (place / "a").write("b", b""),
    ):
        with pytest.raises(StoreError, match="file stands where a folder is needed"):
            act()
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match=r"Is a directory|is there already"):
        place.write("folder", b"")
    assert sorted(os.listdir(tmp_path)) == ["a", "folder"] and (tmp_path / "a").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path):
    place = Location.of(tmp_path / "locked")
    place.write("file", b"old")
    (tmp_path / "locked").chmod(0o500)
    try:
        with pytest.raises(StoreError, match="No permission: use a folder"):
            place.write("file", b"new")
        assert place.read("file") == b"old"
    finally:
        (tmp_path / "locked").chmod(0o700)


def test_a_full_disk_leaves_the_old_content(tmp_path):
    place = Location.of(tmp_path / "place")
    place.write("file", b"old")
    (tmp_path / "up").write_bytes(bytes(100_000))
    (tmp_path / "down").write_bytes(b"old")
    place.upload(tmp_path / "up", "large")
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(tmp_path)], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 5 and all("The file exceeds the size limit" in line for line in said), said
    assert (place.read("file"), (tmp_path / "down").read_bytes()) == (b"old", b"old")
    assert names(place.list()) == ["file", "large"]
    assert not list(tmp_path.rglob(".*"))


_FULL = """
import resource, signal, sys
from pathlib import Path
from analogjax.store import Location, StoreError
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then the write itself fails, as on a full disk
folder = Path(sys.argv[1]); place = Location.of(folder / "place"); memory = Location.of("memory://m")
memory.write("large", bytes(100_000))
for act in (
    lambda: place.write("file", bytes(100_000)), lambda: place.create("new", bytes(100_000)),
    lambda: place.upload(folder / "up", "file"), lambda: place.download("large", folder / "down"),
    lambda: memory.download("large", folder / "down"),
):
    try: act()
    except StoreError as error: print(error)
"""


def test_writers_and_deleters_of_one_folder(tmp_path):
    """The last file of a folder takes the folder with it, while another writer is about to write there."""
    place, failures = Location.of(tmp_path), []

    def work(name):
        try:
            for _ in range(150):
                place.write(f"deep/folder/{name}", b"x")
                place.delete(f"deep/folder/{name}")
                place.list()
        except StoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and place.list() == []


def test_one_of_several_creators_wins(tmp_path):
    place, won = Location.of(tmp_path), []

    def work(name):
        try:
            place.create("file", name.encode())
            won.append(name)
        except AlreadyExists:
            pass

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and place.read("file").decode() == won[0]


def test_drafts_of_killed_writers_and_links_are_not_listed(tmp_path):
    place = Location.of(tmp_path)
    place.write("file", b"x")
    (tmp_path / ".part-1").write_text("half")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert names(place.list()) == ["file"]


# --------------------------------------------------------------------------------------------------- URLs and options


def test_paths_and_urls(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    for given, url in {
        "runs/a": f"{tmp_path}/runs/a", Path("runs"): f"{tmp_path}/runs", "~/x": "/home/me/x", "/a/../b": "/b",
        "file:///a/b": "/a/b", "local:///a": "/a", "s3://bucket/a/": "s3://bucket/a", "S3A://bucket": "s3://bucket",
        "gcs://bucket/a": "gs://bucket/a", "memory://a": "memory://a", 
        "memory:///a": "memory://a", "a:b": f"{tmp_path}/a:b",
        "s3://arn:aws:s3:eu-west-1:1:accesspoint/a": "s3://arn:aws:s3:eu-west-1:1:accesspoint/a",
    }.items():  # fmt: skip
        place = Location.of(given)
        assert (place.url, str(place)) == (url, url)
        assert place.path == (Path(url) if url.startswith("/") else None)
    assert Location.of(place) is place and Location.of("gs://b").protocol == "gs"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty string"),
        ("http://host/x", r"http:// is not known; give a path, s3://"),
        ("hdfs://host/x", "hdfs:// is not known"),
        ("s3://", "names no bucket"),
        ("gs:///", "names no bucket"),
        ("s3:/bucket/x", "lost a slash, as a pathlib.Path does"),
        (Path("s3://bucket/x"), "lost a slash"),
        ("s3://bucket/../x", "empty part"),
        ("s3://bucket//x", "empty part"),
        ("gs://bucket/./x", "empty part"),
    ],
)
def test_urls_that_are_refused(text, message):
    with pytest.raises(StoreError, match=message):
        Location.of(text)


@pytest.mark.parametrize(
    "text",
    [
        "s3://name:MARKER@bucket/x", "s3://AKIA:MAR/MARKER@bucket/x", "gs://MARKER@bucket", "s3:/name:MARKER@bucket",
        "https://name:MARKER@host/x", "s3n://key:MAR/MARKER@bucket", "s3://name:MARKER@bucket/../x",
    ],
)  # fmt: skip
def test_credentials_in_urls_are_refused_and_not_shown(text):
    with pytest.raises(StoreError) as caught:
        Location.of(text)
    assert "MARKER" not in str(caught.value) and "MARKER" not in repr(caught.value)


def test_locations_are_values(s3_server, tmp_path):
    place = s3_server.location()
    place.write("file", b"x")
    same = Location.of(place.url, storage_options=s3_server.options)
    assert place == same and hash(place) == hash(same) and place != place / "a"
    assert len({place, same}) == 1
    assert pickle.loads(pickle.dumps(Location.of(tmp_path))) == Location.of(tmp_path)


def test_other_options_make_another_connection(s3_server):
    place = s3_server.location()
    place.write("file", b"x")
    with FaultProxy(s3_server.url) as proxy:
        other = Location.of(place, storage_options={**s3_server.options, "endpoint_url": proxy.url})
        assert other.read("file") == b"x" and proxy.count() > 0


SECRET = "MARKER/of+a=secret"


def told(error):
    """All that a user would see of an error: the traceback's text, causes included."""
    return "".join(traceback.format_exception(error)) + repr(error) + str(error.args)


@pytest.mark.parametrize(
    "options",
    [
        {"key": SECRET, "secret": SECRET, "endpoint_url": "not a url"},
        {"key": "k", "secret": SECRET, "nonsense": 1},
        {"key": "k", "secret": SECRET, "config_kwargs": {"nonsense": 1}},
        {"key": "k", "secret": "s", "endpoint_url": f"http://user:{SECRET}@127.0.0.1:1"},
        {"key": SECRET, "secret": SECRET, "token": SECRET, "endpoint_url": "http://127.0.0.1:1/" + SECRET},
        {"client_kwargs": {"aws_secret_access_key": SECRET, "nonsense": SECRET}, "key": "k"},
    ],
)
def test_secrets_are_never_shown_s3(options, s3_server, patient):
    place = Location.of("s3://bucket/x", storage_options=options)
    assert "MARKER" not in repr(place) + str(place)
    with pytest.raises(StoreError) as caught:
        place.write("a", b"")
    assert "MARKER" not in told(caught.value)


@pytest.mark.parametrize(
    "options", [{"token": SECRET}, {"token": {"private_key": SECRET}}, {"token": "anon", "project": "p", SECRET: 1}]
)
def test_secrets_are_never_shown_gs(options, gcs_server, patient, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")  # where Google would be asked about the token
    place = Location.of("gs://bucket/x", storage_options={"endpoint_url": "http://127.0.0.1:1", **options})
    assert "MARKER" not in repr(place) + str(place)
    with pytest.raises(StoreError) as caught:
        place.write("a", b"")
    if SECRET not in options:  # a secret in the place of a name is beyond us
        assert "MARKER" not in told(caught.value)


# ------------------------------------------------------------------------------------------------- what users get wrong


def every_call(place, file):
    """Everything that a location can do."""
    return {
        "read": lambda: place.read("a"), "write": lambda: place.write("a", b"x"),
        "create": lambda: place.create("a", b"x"), "upload": lambda: place.upload(file, "a"),
        "download": lambda: place.download("a", file.with_name("down"), size=1), "list": place.list,
        "folders": place.folders, "exists": lambda: place.exists("a"), "delete": lambda: place.delete("a"),
    }  # fmt: skip


@pytest.fixture
def file(tmp_path):
    (tmp_path / "up").write_bytes(b"x")
    return tmp_path / "up"


@pytest.mark.parametrize("kind", ["s3_server", "gcs_server"])
def test_a_missing_bucket(kind, request, file):
    server = request.getfixturevalue(kind)
    place = Location.of(f"{server.protocol}://no-such-bucket/x", storage_options=server.options)
    calls = every_call(place, file)
    assert not calls.pop("exists")()
    calls.pop("delete")()  # what is not there counts as removed
    for act in calls.values():
        with pytest.raises(NotFound, match=r"no-such-bucket/x.*check the name and that the bucket exists"):
            act()


@pytest.mark.parametrize("kind", ["s3_server", "gcs_server"])
def test_forbidden(kind, request, file):
    server = request.getfixturevalue(kind)
    with FaultProxy(server.url) as proxy:
        place = server.location(endpoint_url=proxy.url)
        proxy.rule("status", code=403)
        for name, act in every_call(place, file).items():
            proxy.log.clear()
            with pytest.raises(StoreError, match=r"(?s)refuses access .* these credentials may read and write"):
                act()
            assert len(proxy.log) == 1, name  # trying again would help nobody


@pytest.mark.parametrize("code", [400, 403])
@pytest.mark.parametrize("reason", ["ExpiredToken", "RequestExpired"])
def test_credentials_that_have_expired(code, reason, s3_server, file):
    with FaultProxy(s3_server.url) as proxy:
        place = s3_server.location(endpoint_url=proxy.url)
        proxy.rule("status", code=code, reason=reason)
        for call in ("read", "write", "upload"):  # the answer to HEAD has no word for the reason
            with pytest.raises(StoreError, match=rf"(?s)the credentials have expired .*{reason}.*Get new ones"):
                every_call(place, file)[call]()


@pytest.mark.parametrize("kind", ["s3_server", "gcs_server"])
def test_nobody_listens(kind, request, patient):
    server = request.getfixturevalue(kind)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    place = Location.of(f"{server.protocol}://bucket/x", storage_options={**server.options, "endpoint_url": url})
    with pytest.raises(StoreError, match=r"bucket/x/a: the store did not answer properly.*Try again later"):
        place.read("a")


def test_no_credentials(s3_server, file, patient, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    place = Location.of("s3://bucket/x", storage_options={"endpoint_url": s3_server.url})
    for act in every_call(place, file).values():
        with pytest.raises(StoreError, match=r"no usable credentials .*AWS_ACCESS_KEY_ID .* or pass storage_options"):
            act()


@pytest.mark.parametrize(("protocol", "package", "extra"), [("s3", "s3fs", "s3"), ("gs", "gcsfs", "gcs")])
def test_a_missing_package(protocol, package, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    place = Location.of(f"{protocol}://bucket/x")  # costs nothing and needs nothing
    with pytest.raises(MissingPackage, match=rf"needs the package {package}: pip install 'analogjax\[{extra}\]'"):
        place.read("a")


def test_options_that_do_not_fit():
    # gcsfs and memory take any option and drop it
    with pytest.raises(StoreError, match=r"nonsense.*Check the storage_options"):
        Location.of("s3://bucket/x", storage_options={"nonsense": 1}).read("a")
