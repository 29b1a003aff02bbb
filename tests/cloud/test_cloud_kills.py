"""`kill -9` of workers, of the service, of Slurm's controller and of a Ray node, at random moments with jobs in flight.

Every experiment ends COMPLETED with the result of an undisturbed run, to the bit; none is lost, none is doubled.
Run with `-s` for the figures.
"""

import os
import random
import shutil
import signal
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import requests

from analogjax import LocalRunner
from tests.cloud.executors.clusters import ray_cluster, slurm_cluster, until
from tests.cloud.experiments import submission
from tests.cloud.experiments import training as experiment
from tests.cloud.running_service import ROOT, ServiceProcess

_EPOCHS, _AT_A_TIME = 60, 3
_KILLS = pytest.mark.parametrize(
    "kills", [pytest.param(2, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.storm)]
)
_CACHE = {"JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


class Storm:
    """A service, a stream of submissions, and blows."""

    def __init__(self, service, kinds, kills, seed):
        self.service, self.kinds, self.kills, self.random = service, kinds, kills, random.Random(seed)
        self.headers = {"Authorization": f"Bearer {service.token()}"}
        self.submitted, self.counts = {}, dict.fromkeys(kinds, 0)

    def ask(self, method, path, **given):
        """A request of a client that does not give up: what it asks may be asked again."""
        end = time.monotonic() + 90
        while True:
            try:
                answer = requests.request(
                    method, f"{self.service.url}{path}", headers=self.headers, timeout=10, **given
                )
                if answer.status_code < 500:
                    return answer
            except requests.RequestException:
                pass
            assert time.monotonic() < end, f"no answer to {method} {path}"
            time.sleep(0.2)

    def submit(self):
        number = len(self.submitted)
        id = f"storm-{number:04d}"
        answer = self.ask("PUT", f"/api/v1/experiments/{id}", json=submission(_EPOCHS, name=id))
        assert answer.status_code in (200, 201), answer.text
        self.submitted[id] = None

    def active(self):
        listed = self.ask("GET", "/api/v1/experiments?limit=1000").json()
        return [one for one in listed if one["status"] in ("waiting", "running")]

    def run(self):
        for _ in range(_AT_A_TIME):
            self.submit()
        for number in range(self.kills):
            kind = self.kinds[number % len(self.kinds)]
            time.sleep(self.random.uniform(0.5, 5.0))
            if len(self.active()) < _AT_A_TIME:
                self.submit()
            assert self.active(), "a blow needs jobs in flight"
            self.counts[kind] += getattr(self, f"kill_{kind}")()
        until(lambda: not self.active(), 600, "the end of all")
        return self.judge()

    def judge(self):
        listed = self.ask("GET", "/api/v1/experiments?limit=1000").json()
        ids = [one["id"] for one in listed]
        lost, doubled = set(self.submitted) - set(ids), len(ids) - len(set(ids))
        ended = {}
        truth = [e["train_loss"] for e in LocalRunner("cpu").run(experiment(_EPOCHS), seed=1, stdout=False)]
        for one in listed:
            ended[one["status"]] = ended.get(one["status"], 0) + 1
            assert one["status"] == "completed" or (one["status"] == "failed" and one["reason"]), one
            if one["status"] == "completed":
                losses = [e["train_loss"] for e in self.ask("GET", f"/api/v1/experiments/{one['id']}").json()["epochs"]]
                assert losses == truth, one
        attempts = sum(one["attempt"] for one in listed)
        print(
            f"\n{self.counts} kills; {len(ids)} experiments, {attempts} attempts, {ended}, "
            f"lost {len(lost)}, doubled {doubled}"
        )
        assert not lost and not doubled and ended.get("completed", 0) >= len(ids) - 1
        return ended

    def kill_service(self):
        self.service.kill()
        time.sleep(self.random.uniform(0.0, 2.0))
        self.service.start()
        return 1

    def kill_worker(self):
        """One of the processes that train, if there is one by now."""
        mine = [p for p in psutil.process_iter(["cmdline"]) if "analogjax.cloud.worker" in (p.info["cmdline"] or [])]
        mine = [p for p in mine if any(str(self.service.home) in word for word in p.info["cmdline"])]
        if not mine:
            return 0
        os.kill(self.random.choice(mine).pid, signal.SIGKILL)
        return 1


def start(folder, *arguments, environment=None):
    service = ServiceProcess(
        folder / "home", ("--lease", "6", "--max-attempts", "8", *arguments), _CACHE | (environment or {})
    )
    service.token()
    service.start()
    return service


@_KILLS
@pytest.mark.timeout(1800)
def test_local_workers_and_the_service(tmp_path, kills):
    service = start(tmp_path, "--workers", "2")
    try:
        Storm(service, ["worker", "service"], kills, seed=1).run()
    finally:
        service.stop()


@_KILLS
@pytest.mark.timeout(1800)
def test_slurm_and_its_controller(kills):
    folder = Path(tempfile.mkdtemp(prefix="ajx-storm-"))
    with slurm_cluster(folder / "c") as cluster:
        service = start(folder, "--executor", "slurm", environment=cluster.environment)

        class SlurmStorm(Storm):
            def active(self):
                cluster.resume()
                return super().active()

            def kill_controller(self):
                cluster.kill_controller()
                time.sleep(self.random.uniform(0.0, 2.0))
                cluster.start_controller()
                return 1

        try:
            SlurmStorm(service, ["controller", "worker", "controller", "service"], kills, seed=2).run()
        finally:
            service.stop()
    shutil.rmtree(folder, ignore_errors=True)


@_KILLS
@pytest.mark.timeout(1800)
def test_ray_and_its_worker_node(kills):
    folder = Path(tempfile.mkdtemp(prefix="ajx-storm-"))
    with ray_cluster(folder, nodes=2) as cluster:
        service = start(folder, "--executor", "ray", "--ray-address", cluster.address)

        class RayStorm(Storm):
            def kill_node(self):
                cluster.kill_node(len(cluster.nodes) - 1)
                time.sleep(self.random.uniform(0.0, 2.0))
                cluster.start_worker(1)
                return 1

        try:
            RayStorm(service, ["node", "worker"], kills, seed=3).run()
        finally:
            service.stop()
    shutil.rmtree(folder, ignore_errors=True)
