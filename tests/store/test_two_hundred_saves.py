"""200 saves that are killed or meet a bad network at a random moment: nothing torn is seen, nothing earlier is harmed.

Kills: see `killed_saver.py`; the stores run in this process. Faults: on the wire, in a proxy before a real server.
"""

import json
import os
import random
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from analogjax.store import CheckpointError, Checkpoints, Location
from analogjax.store.bucket_snapshots import BucketSnapshots
from tests.store.fault_proxy import FaultProxy
from tests.store.killed_saver import KEEP, Steps, harm, same, tree

SCRIPT = Path(__file__).with_name("killed_saver.py")
ROOT = Path(__file__).parents[2]
SERVERS = {"s3": "s3_server", "gs": "gcs_server"}


# --------------------------------------------------------------------------------------------------------------- kills


def kill(place, runs, seed, tmp_path):
    """The reports of so many kills."""
    (tmp_path / "tmp").mkdir()  # the dead leave their staging folders
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "TMPDIR": str(tmp_path / "tmp"), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, SCRIPT, json.dumps(place), str(runs), str(seed)],
        env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert done.returncode == 0
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(reports) == runs and {report["status"] for report in reports} <= {0, -9}, reports
    return reports


@contextmanager
def network(kind, request):
    """The server of a kind and the storage options that lead there, past a proxy without any rule.

    Of a request that was cut off by a kill the proxy forwards nothing, as no real store takes a part of one.
    """
    server = request.getfixturevalue(SERVERS[kind])
    with FaultProxy(server.url) as proxy:
        yield server, {**server.options, "endpoint_url": proxy.url}


@contextmanager
def checkpoints_at(kind, request, tmp_path):
    """A place for `killed_saver.py` with checkpoints."""
    if kind == "file":
        yield {"kind": "steps", "where": str(tmp_path / "run")}
        return
    with network(kind, request) as (server, options):
        yield {"kind": "steps", "where": f"{kind}://{server.bucket()}/run", "options": options}


@contextmanager
def experiments_at(saver, request, tmp_path):
    """A place with experiments of one of the savers."""
    place = {"kind": "experiments", "saver": saver}
    if "Local" in saver:
        yield place | {"place": [str(tmp_path / "here")]}
        return
    with network("s3", request) as (server, options):
        yield place | {"place": [server.bucket(), "lead", str(tmp_path / "here")], "storage_options": options}


def judge(what, reports):
    """Nothing is torn or harmed; returns how many were killed, left nothing, and are there (killed or not)."""
    killed = [report for report in reports if report["killed"]]
    absent, present = (sum(report[key] for report in killed) for key in ("absent", "new"))
    torn, harmed = (sum(bool(report[key]) for report in reports) for key in ("torn", "harm"))
    print(
        f"\n{what}: {len(reports)} runs, killed before the end {len(killed)}, absent {absent}, present {present}, "
        f"old kept {len(killed) - absent - present}, torn={torn}, harmed={harmed}"
    )
    assert not torn and not harmed, [report for report in reports if report["torn"] or report["harm"]]
    return len(killed), absent, sum(report["new"] for report in reports)


@pytest.mark.parametrize("kind", ["file", *(pytest.param(kind, marks=pytest.mark.slow) for kind in SERVERS)])
def test_a_few_kills(kind, request, tmp_path):
    with checkpoints_at(kind, request, tmp_path) as place:
        judge(kind, kill(place | {"keep": 1}, 5, 5, tmp_path))


@pytest.mark.storm
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["file", "s3", "gs"])
def test_forty_kills(kind, request, tmp_path):
    with checkpoints_at(kind, request, tmp_path) as place:
        killed, absent, present = judge(f"kills of Checkpoints, {kind}", kill(place, 40, 40, tmp_path))
    assert killed >= 20 and absent >= 5 and present >= 5  # else the moments missed the saves


SAVERS = ["FullFlaxExperimentLocalSaver", "FullFlaxExperimentS3Saver", "FullPyTorchExperimentS3Saver"]


@pytest.mark.slow
@pytest.mark.parametrize("saver", SAVERS[:2])
def test_three_kills_of_an_experiment(saver, request, tmp_path):
    with experiments_at(saver, request, tmp_path) as place:
        judge(f"kills of {saver}", kill(place, 3, 3, tmp_path))


@pytest.mark.storm
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("saver", SAVERS)
def test_ten_kills_of_an_experiment(saver, request, tmp_path):
    with experiments_at(saver, request, tmp_path) as place:
        killed, *_ = judge(f"kills of {saver}", kill(place, 10, 10, tmp_path))
    assert killed >= 3


# -------------------------------------------------------------------------------------------------------------- faults

TIMEOUT = 1.0  # [s] that a client waits for an answer
LATE = 1.5  # [s] after which a request reaches the store although its client has given up
UP, ANY = {"s3": "PUT", "gs": "POST"}, "GET|PUT|POST|DELETE|HEAD"


def a_fault(chance, protocol, saving):
    """A random rule for the proxy."""
    kind, method, options = chance.choice(
        [("status", ANY, {"code": chance.choice([403, 412, 429, 500, 503])}), ("reset", ANY, {}), ("stall", ANY, {}),
         ("lost_ack", ANY, {}), ("delay", ANY, {"seconds": 0.05}), ("delay", UP[protocol], {"seconds": LATE}),
         ("cut_down", "GET", {"after": chance.randrange(100)}), ("truncate", "GET", {"by": chance.randrange(1, 9)}),
         ("corrupt_down", "GET", {}), ("cut_up", UP[protocol], {"after": chance.randrange(100)}),
         ("corrupt_up", UP[protocol], {})]
    )  # fmt: skip
    if not saving:
        method = "GET|HEAD" if method == ANY else "GET"
    path, skips = ("MANIFEST", 3) if chance.random() < 0.3 and method != UP[protocol] else ("", 15)
    count = chance.choice([1, 2, 3, None] if saving else [1, 3, None, None])
    return {"kind": kind, "method": method, "path": path, "count": count, "skip": chance.randrange(skips), **options}


def sample_and_storm(few, many):
    """So many faults in `make slow` and in `make storm`."""
    return pytest.mark.parametrize(
        "faults", [pytest.param(few, marks=pytest.mark.slow), pytest.param(many, marks=pytest.mark.storm)]
    )


@dataclass
class Wire:
    """Checkpoints behind a proxy, the same ones without it, and what became of the calls."""

    proxy: FaultProxy
    protocol: str
    faulty: Location
    direct: Steps
    outcomes: list[str] = field(default_factory=list)

    def attempt(self, fault, act):
        """What `act` returns with a fault, `None` where it raised a clear error."""
        self.proxy.clear()
        self.proxy.rule(**fault)
        try:
            with warnings.catch_warnings(record=True):
                warnings.simplefilter("always")
                done = act()
            self.outcomes.append("done")
        except CheckpointError as error:
            assert self.faulty.url in str(error), error
            self.outcomes.append("refused")
            done = None
        finally:
            self.proxy.clear()
        if fault.get("seconds") == LATE:
            time.sleep(LATE)  # until what was given up has arrived too
        return done


@pytest.fixture(params=SERVERS)
def wire(request, patient):
    """A wire to a run with the checkpoints of `KEEP` saves."""
    import aiohttp

    server = request.getfixturevalue(SERVERS[request.param])
    short = {
        "s3": {"config_kwargs": {"read_timeout": TIMEOUT}},
        "gs": {"requests_timeout": aiohttp.ClientTimeout(sock_connect=5, sock_read=TIMEOUT)},
    }
    with FaultProxy(server.url) as proxy:
        faulty = server.location("run", endpoint_url=proxy.url, **short[request.param])
        wire = Wire(proxy, request.param, faulty, Steps(Location.of(faulty.url, storage_options=server.options)))
        for number in range(1, KEEP + 1):
            wire.direct.save(number, number)
        yield wire


@pytest.mark.timeout(1200)
@sample_and_storm(6, 40)
def test_faults_while_saving(wire, faults):
    chance, (before, torn), bad = random.Random(40), wire.direct.look(), []
    for number in range(KEEP + 1, KEEP + 1 + faults):
        step = chance.choice(sorted(before)) if number % 4 == 0 else max(before) + 1
        fault = a_fault(chance, wire.protocol, saving=True)
        wire.attempt(fault, lambda step=step, number=number: Steps(wire.faulty).save(step, number) or True)
        after, torn = wire.direct.look()
        harmed = harm(before, after, step, number, wire.outcomes[-1] == "done")
        bad += [(number, step, fault, wire.outcomes[-1], torn, harmed)] if torn or harmed else []
        before = after
    done, refused = (wire.outcomes.count(one) for one in ("done", "refused"))
    torn, harmed = (sum(bool(one[place]) for one in bad) for place in (4, 5))
    print(f"\nfaults while saving, {wire.protocol}: {faults} runs, saved {done}, refused {refused}, {torn=}, {harmed=}")
    assert not bad, bad
    assert done >= faults // 8 and refused >= faults // 8


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_commit_that_is_carried_out_when_the_client_has_given_up(wire, monkeypatch):
    """The manifest that arrives late must not name files that the failed save has deleted."""
    late, commit = {"method": UP[wire.protocol], "seconds": 6 * TIMEOUT}, BucketSnapshots._commit

    def delayed(*arguments):
        wire.proxy.rule("delay", **late)
        return commit(*arguments)

    monkeypatch.setattr(BucketSnapshots, "_commit", delayed)
    before, _ = wire.direct.look()
    for number, step in ((KEEP + 1, KEEP + 1), (KEEP + 2, KEEP)):  # a new one, and one in place of an old one
        with pytest.raises(CheckpointError) as found:
            Steps(wire.faulty).save(step, number)
        assert "did not answer" in str(found.value), wire.proxy.answers[-12:]
        wire.proxy.clear()
        time.sleep(6 * TIMEOUT)
        after, torn = wire.direct.look()
        assert not torn and not harm(before, after, step, number, finished=False)
        before = after


@sample_and_storm(4, 15)
@pytest.mark.timeout(1200)
def test_faults_while_restoring(wire, faults):
    chance = random.Random(15)
    for n in range(faults):
        step = None if n % 3 == 0 else chance.randint(1, KEEP)
        checkpoints = Checkpoints(wire.faulty, read_only=True)
        done = wire.attempt(
            a_fault(chance, wire.protocol, saving=False), lambda step=step, of=checkpoints: of.restore(tree(0), step)
        )
        if done is not None:
            restored, meta = done
            assert same(restored, meta["number"]) and step in (None, meta["number"])
    assert wire.direct.look() == ({n: n for n in range(1, KEEP + 1)}, [])
    done, refused = (wire.outcomes.count(one) for one in ("done", "refused"))
    print(f"\nfaults while restoring, {wire.protocol}: {faults} runs, restored {done}, refused {refused}, torn=0")
    assert done >= faults // 7 and refused >= faults // 7
