"""How a service bears attacks from loopback: the time of /healthz, its memory, and a running experiment.

    python benchmarks/cloud_attacks.py [--seconds 20]

The service is `analogjax serve` in a process of its own, with one experiment running on a local worker. Each attack
is bounded in count and time. Printed for each: calls of /healthz, the median, the 99th percentile and the largest [ms],
the largest memory of the service so far [MB]; at the end whether the experiment is still in its first attempt.
"""

import argparse
import os
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import requests


class Attacked:
    """A service, and a clock on its health."""

    def __init__(self, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url, self.home = f"http://127.0.0.1:{self.port}", home
        run = [sys.executable, "-m", "analogjax"]
        self.log = open(home.parent / "service.log", "wb")
        self.process = subprocess.Popen(
            [*run, "serve", "--home", str(home), "--port", str(self.port)], stderr=self.log, stdout=self.log
        )
        self.until_up()
        made = subprocess.run(
            [*run, "cloud", "token", "create", "ada", "--home", str(home)], capture_output=True, text=True, check=True
        )
        self.headers = {"Authorization": f"Bearer {re.search(r'^ajx_.*$', made.stdout, re.MULTILINE)[0]}"}

    def until_up(self) -> None:
        """Wait until it answers."""
        for _ in range(300):
            try:
                requests.get(f"{self.url}/healthz", timeout=2)
                return
            except requests.RequestException:
                time.sleep(0.2)
        raise SystemExit("the service did not start")

    def memory(self) -> float:
        """Largest memory so far [MB]."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", text)[1]) / 1024

    @contextmanager
    def watched(self, name: str):
        """Measure /healthz meanwhile, in a process of its own, so that the attacker's threads don't count."""
        program = (
            "import requests, select, sys, time\n"
            "times, session = [], requests.Session()\n"
            "while not select.select([sys.stdin], [], [], 0.02)[0]:\n"
            "    begun = time.perf_counter()\n"
            "    try: session.get(sys.argv[1] + '/healthz', timeout=30)\n"
            "    except requests.RequestException as error: print('failed', type(error).__name__, file=sys.stderr)\n"
            "    times.append(1000 * (time.perf_counter() - begun))\n"
            "times.sort()\n"
            "at = lambda share: times[min(len(times) - 1, int(share * len(times)))]\n"
            "print(f'{len(times):5} calls  median {at(0.5):6.1f}  p99 {at(0.99):7.1f}  max {times[-1]:7.1f} ms')\n"
        )
        clock = subprocess.Popen(
            [sys.executable, "-c", program, self.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        time.sleep(0.5)
        try:
            yield
        finally:
            told, _ = clock.communicate("\n")
            print(f"{name:44} {told.strip()}  memory {self.memory():.0f} MB", flush=True)

    def raw(self, head: str) -> socket.socket:
        """A connection with the head of a request sent."""
        made = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        made.sendall(head.encode())
        return made


def slow_bodies(service: Attacked, seconds: float) -> None:
    """150 connections without a token, each with 8 MiB less 5 bytes."""
    size = 8 * 2**20

    def send(n: int) -> None:
        try:
            with service.raw(
                f"PUT /api/v1/experiments/{'a' * 32} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
            ) as raw:
                for _ in range(size // 65536 - 1):
                    raw.sendall(b"x" * 65536)
                time.sleep(seconds / 2)
        except OSError:
            pass  # refused, as it should be

    with ThreadPoolExecutor(150) as pool:
        list(pool.map(send, range(150)))


def tiny_chunks(service: Attacked, seconds: float) -> None:
    """4 connections with a token, in chunks of one byte."""
    word = service.headers["Authorization"]

    def send(n: int) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                head = f"PUT /api/v1/experiments/{'a' * 32} HTTP/1.1\r\nHost: x\r\nAuthorization: {word}\r\n"
                with service.raw(head + "Transfer-Encoding: chunked\r\n\r\n") as raw:
                    for _ in range(500):
                        raw.sendall(b"1\r\na\r\n" * 2000)
            except OSError:
                pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, range(4)))


def odd_methods(service: Attacked, seconds: float) -> None:
    """2000 methods that do not exist."""
    with requests.Session() as session:
        for n in range(2000):
            session.request(f"ODD{n}", f"{service.url}/healthz", timeout=30)
    size = len(requests.get(f"{service.url}/metrics", timeout=30).content)
    print(f"{'  (size of /metrics afterwards)':44} {size} bytes")


def large_protobufs(service: Attacked, seconds: float) -> None:
    """4 times 8 MB of empty layers, and of layers with a preset, with a token."""
    from analogjax.cloud.wire import schema
    from tests.cloud.experiments import linear, protobuf

    message = protobuf()
    message.network.layers.extend([schema.training().LayerOrActivationFunction()] * 1_300_000)
    empty = message.SerializeToString()
    made = protobuf()
    one = linear(schema.training(), 10, 10, "TikiTakaReRamSBPreset", weight_scaling_omega=0.6)
    made.network.layers.extend([one] * (7_800_000 // (one.ByteSize() + 4)))

    def send(payload: bytes) -> int:
        id = requests.post(
            f"{service.url}/experiments", json={"name": "x", "category": "train"}, headers=service.headers, timeout=60
        ).json()["id"]
        url = requests.post(
            f"{service.url}/inputs", json={"experiment": id}, headers=service.headers, timeout=60
        ).json()["url"]
        return requests.put(url, data=payload, timeout=60).status_code

    with ThreadPoolExecutor(4) as pool:
        print("  answers:", list(pool.map(send, [empty, made.SerializeToString()] * 4)))


def locked_database(service: Attacked, seconds: float) -> None:
    """45 writers while another process holds the database."""
    from tests.cloud.experiments import submission

    body = submission(epochs=1)
    lock = sqlite3.connect(service.home / "service.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(seconds, lambda: None)
    release.start()

    def put(n: int) -> int:
        return requests.put(
            f"{service.url}/api/v1/experiments/{n:032d}", json=body, headers=service.headers, timeout=120
        ).status_code

    with ThreadPoolExecutor(45) as pool:
        answers = [pool.submit(put, n) for n in range(45)]
        release.join()
        lock.execute("ROLLBACK")
        statuses = sorted(one.result() for one in answers)
    print("  answers:", {status: statuses.count(status) for status in set(statuses)})


def main() -> None:
    """Run all attacks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each attack that lasts as long as one likes")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.cloud.experiments import submission

    with tempfile.TemporaryDirectory() as folder:
        service = Attacked(Path(folder) / "home")
        try:
            id = "f" * 32
            requests.put(
                f"{service.url}/api/v1/experiments/{id}",
                json=submission(epochs=100_000),
                headers=service.headers,
                timeout=30,
            ).raise_for_status()
            while (
                requests.get(f"{service.url}/api/v1/experiments/{id}", headers=service.headers, timeout=30).json()[
                    "epochs_done"
                ]
                < 3
            ):
                time.sleep(0.5)
            with service.watched("nothing"):
                time.sleep(5)
            for attack in (slow_bodies, tiny_chunks, odd_methods, large_protobufs, locked_database):
                with service.watched(attack.__doc__.rstrip(".")[:44]):
                    attack(service, options.seconds)
            time.sleep(3)
            found = requests.get(
                f"{service.url}/api/v1/experiments/{id}", params={"epochs": False}, headers=service.headers, timeout=30
            ).json()
            print(f"the experiment: {found['status']}, attempt {found['attempt']}, {found['epochs_done']} epochs")
            requests.post(f"{service.url}/api/v1/experiments/{id}/cancel", headers=service.headers, timeout=30)
            time.sleep(3)
        finally:
            service.process.terminate()
            service.process.wait(30)
            text = (Path(folder) / "service.log").read_text()
            print(
                "  5xx:", len(re.findall(r'"status": 5\d\d', text)), " internal errors:", text.count("internal error")
            )


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
