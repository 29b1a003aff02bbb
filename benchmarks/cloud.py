"""How many submissions and status calls a service answers per second, over loopback, and how long one takes.

    python benchmarks/cloud.py [--requests 2000] [--clients 8]

The service runs in a process of its own, with SQLite (every submission is on the disk before it is answered) and an
engine that runs nothing; the clients are threads of one process. Bounded in count; stops by itself.
"""

import argparse
import json
import multiprocessing
import socket
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests


class Nothing:
    """An engine that takes no job."""

    kind, capacity = "local", 0

    def phases(self, names):
        """Nothing is known."""
        return {}

    def close(self):
        """Nothing is held."""


def serve(home: str, listener: socket.socket, token: multiprocessing.Queue) -> None:
    """The service's process."""
    import uvicorn

    from analogjax.cloud.service.application import create_app
    from analogjax.cloud.service.limits import patient_protocol
    from analogjax.cloud.service.server import open_database
    from analogjax.cloud.service.settings import Settings
    from analogjax.cloud.service.tokens import create_token

    settings = Settings(home=Path(home), port=listener.getsockname()[1])
    database = open_database(settings)
    token.put(create_token(database, "bench")[0])
    config = uvicorn.Config(
        create_app(settings, database, Nothing()), http=patient_protocol(10.0), ws="none", access_log=False,
        log_config=None,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listener])


def measure(name: str, clients: int, number: int, act) -> dict:
    """Call `act(session, n)` for n below `number`, from `clients` threads."""
    own, seconds = threading.local(), []

    def call(n: int) -> None:
        if not hasattr(own, "session"):
            own.session = requests.Session()
        begun = time.perf_counter()
        code = act(own.session, n).status_code
        seconds.append(time.perf_counter() - begun)
        assert code in (200, 201), code

    begun = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(call, range(number)))
    took = time.perf_counter() - begun
    seconds.sort()
    found = {"case": name, "clients": clients, "requests": number, "per_second": round(number / took, 1)}
    found |= {f"p{p}_ms": round(1000 * seconds[min(number - 1, number * p // 100)], 2) for p in (50, 99)}
    print(json.dumps(found), flush=True)
    return found


def main() -> None:
    """Measure one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    import jax

    from analogjax import AnalogLinear, BasicTraining, Digits, Sequential
    from analogjax.cloud.description import Description
    from analogjax.nn import flatten

    model = Sequential(flatten, AnalogLinear(32), jax.nn.sigmoid, AnalogLinear(10), jax.nn.log_softmax)
    description = Description.of(BasicTraining(dataset=Digits, model=model)).to_json()
    body = {"name": "bench", "device": "cpu", "description": description}
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    url, tokens = f"http://127.0.0.1:{listener.getsockname()[1]}", multiprocessing.get_context("spawn").Queue()
    with tempfile.TemporaryDirectory() as home:
        service = multiprocessing.get_context("spawn").Process(target=serve, args=(home, listener, tokens), daemon=True)
        service.start()
        headers = {"Authorization": f"Bearer {tokens.get(timeout=120)}"}
        while True:
            try:
                requests.get(f"{url}/healthz", timeout=5).raise_for_status()
                break
            except requests.RequestException:
                time.sleep(0.2)
        jwt = requests.post(f"{url}/token/login", json={"token": headers["Authorization"][7:]}, timeout=30).json()[
            "jwt"
        ]
        headers = {"Authorization": f"Bearer {jwt}"}
        n, c = min(options.requests, 1900), options.clients

        def put(session, k):
            return session.put(f"{url}/api/v1/experiments/bench-{k:06d}", json=body, headers=headers, timeout=60)

        def status(session, k):
            return session.get(f"{url}/jobs/bench-{k % n:06d}", headers=headers, timeout=60)

        def listing(session, k):
            return session.get(f"{url}/api/v1/experiments?limit=100", headers=headers, timeout=60)

        measure("submit", c, n, put)
        measure("status", c, 2 * n, status)
        measure("list of 100", c, n // 4, listing)
        service.terminate()
        service.join()


if __name__ == "__main__":
    main()
