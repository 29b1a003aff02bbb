"""A service on a free loopback port, in a thread of this process, and in a process of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests
import uvicorn

from analogjax.cloud.service.application import create_app
from analogjax.cloud.service.limits import patient_protocol
from analogjax.cloud.service.server import open_database
from analogjax.cloud.service.settings import Settings
from analogjax.cloud.service.tokens import create_token
from tests.cloud.plain_executor import PlainExecutor

ROOT = Path(__file__).parents[2]


@dataclass
class Service:
    """A running service and a user of it."""

    url: str
    token: str
    settings: Settings
    app: object = field(repr=False, default=None)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def get(self, path: str, **given) -> requests.Response:
        return requests.get(f"{self.url}{path}", headers=self.headers, timeout=30, **given)

    def post(self, path: str, **given) -> requests.Response:
        return requests.post(f"{self.url}{path}", headers=self.headers, timeout=30, **given)

    def put(self, path: str, **given) -> requests.Response:
        return requests.put(f"{self.url}{path}", headers=self.headers, timeout=30, **given)

    def until(self, id: str, *wanted: str, seconds: float = 120.0) -> dict:
        """Wait until the experiment has one of these states; returns it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.get(f"/api/v1/experiments/{id}").json()
            if found["status"] in wanted:
                return found
            time.sleep(0.1)
        raise AssertionError(
            f"still {found['status']} after {seconds} s: {self.get(f'/api/v1/experiments/{id}/logs').text}"
        )

    def user(self, name: str) -> dict[str, str]:
        """Headers of another user."""
        return {"Authorization": f"Bearer {create_token(self.app.state.signer.database, name)[0]}"}


def free_socket(port: int = 0) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made


@contextmanager
def service_in_thread(home: Path, executor=None, port: int = 0, **settings) -> Iterator[Service]:
    """A service in this process; its workers are children of it unless `executor` says otherwise."""
    listener = free_socket(port)
    chosen = Settings(home=home, port=listener.getsockname()[1], **settings)
    database = open_database(chosen)
    token, _ = create_token(database, "ada")
    app = create_app(chosen, database, executor or PlainExecutor(home / "jobs"))
    config = uvicorn.Config(
        app, http=patient_protocol(chosen.header_seconds), ws="none", log_config=None, access_log=False,
        limit_concurrency=chosen.connections, timeout_graceful_shutdown=2, server_header=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{chosen.port}"
    wait_until_up(url)
    try:
        yield Service(url, token, chosen, app)
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
        database.close()


def wait_until_up(url: str, seconds: float = 60.0) -> None:
    """Return when the service answers."""
    end = time.monotonic() + seconds
    while True:
        try:
            if requests.get(f"{url}/healthz", timeout=5).status_code == 200:
                return
        except requests.RequestException:
            pass
        if time.monotonic() > end:
            raise AssertionError(f"{url} did not come up in {seconds} s")
        time.sleep(0.1)


@dataclass
class ServiceProcess:
    """`analogjax serve` in a process of its own, which can be killed and started again."""

    home: Path
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "analogjax", *arguments]

    def token(self, user: str = "ada") -> str:
        made = subprocess.run(
            self.command("cloud", "token", "create", user, "--home", str(self.home)), check=True, capture_output=True,
            text=True,
        )  # fmt: skip
        return re.search(r"^ajx_\S+$", made.stdout, re.MULTILINE)[0]

    def start(self) -> None:
        """Start it, on the same port as before."""
        if not self.port:
            with free_socket() as probe:
                self.port = probe.getsockname()[1]
        with open(self.home.parent / f"{self.home.name}.log", "ab") as log:
            self.process = subprocess.Popen(
                self.command("serve", "--home", str(self.home), "--port", str(self.port), *self.arguments),
                stdout=log, stderr=log, env=os.environ | self.environment, cwd=ROOT,
            )  # fmt: skip
        wait_until_up(self.url)

    def kill(self) -> None:
        """`kill -9`."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Stop it as Ctrl-C does."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)


def end_all(executor) -> None:
    """End every job of a `LocalExecutor`: its jobs outlive their service."""
    for record in executor.folder.glob("*.json"):
        executor._signal(record.stem, signal.SIGKILL)
