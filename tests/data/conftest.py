"""No test here reaches the network or this user's own datasets."""

import socket
import threading

import pytest
from loopback import Loopback

from analogjax.data import download


@pytest.fixture(autouse=True)
def own_world(tmp_path, monkeypatch):
    """An empty default root, no waiting between tries, no proxy, and sockets that only reach the loopback."""
    monkeypatch.setenv("ANALOGJAX_DATA", str(tmp_path / "default"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "BACKOFF_S", 0.0)
    connect = socket.socket.connect

    def local_only(self, address):
        assert self.family == socket.AF_UNIX or address[0] == "127.0.0.1", f"a test tried to reach {address}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture
def server():
    with Loopback() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.stop.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def dead_url():
    """An address on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return f"http://127.0.0.1:{port}/"
