"""How long does a checkpoint take to save and to load, and how much memory? Ours against Orbax and boto3, in turns.

A pytree of float32 arrays, on a local disk and in an S3 bucket on this machine (moto, a process of its own). Locally
the peer is plain Orbax; in the bucket it is what training toolboxes do: `np.savez` to a local file, then boto3's
`upload_file`, and the way back. Ours hashes every byte, syncs it to the disk, and verifies what it moves; the peers
don't. Every save and every load has a process of its own, which has made one small checkpoint before, so that no import
or connection is timed; files just written are read from the system's cache. Nothing here fails on a slow machine.

    python benchmarks/store.py [--sizes 100 1000] [--rounds 3] [--epochs 8] [--json FILE]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GOAL = 1.3  # times the faster peer

SERVER = """
import logging, sys
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
print(f"http://{host}:{port}", flush=True)
sys.stdin.read()
"""

JOB = """
import json, os, resource, shutil, sys, time
import numpy as np
case, job, size, folder, url = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5]
KEYS = {"key": "test", "secret": "test", "endpoint_url": url}
def tree(size, leaves=25):
    random = np.random.default_rng(0)
    rows = max(1, size // (4 * 1000 * leaves))
    return {f"layer{n:02}": random.standard_normal((rows, 1000), np.float32) for n in range(leaves)}
def shapes(size):
    return {name: np.empty_like(leaf) for name, leaf in tree(size).items()}

if case.startswith("ours"):
    from analogjax.store import Checkpoints, Location
    root = Location.of("s3://bucket" if "S3" in case else folder, storage_options=KEYS if "S3" in case else None)
    def place(name):
        return Checkpoints(root / name)
    def save(name, values):
        place(name).save(1, values, {})
    def load(name, like):
        return place(name).restore(like)[0]
elif case == "Orbax":
    import orbax.checkpoint as orbax
    checkpointer = orbax.PyTreeCheckpointer()
    def save(name, values):
        checkpointer.save(f"{folder}/{name}", values)
    def load(name, like):
        plain = {leaf: orbax.RestoreArgs(restore_type=np.ndarray) for leaf in like}
        return checkpointer.restore(f"{folder}/{name}", args=orbax.args.PyTreeRestore(restore_args=plain))
elif case == "np.savez":
    def save(name, values):
        os.makedirs(folder, exist_ok=True)
        np.savez(f"{folder}/{name}.npz", **values)
    def load(name, like):
        with np.load(f"{folder}/{name}.npz") as file:
            return {leaf: file[leaf] for leaf in like}
else:
    import boto3
    client = boto3.client("s3", endpoint_url=url, aws_access_key_id="test", aws_secret_access_key="test",
                          region_name="us-east-1")
    def save(name, values):
        os.makedirs(folder, exist_ok=True)
        np.savez(f"{folder}/{name}.npz", **values)
        client.upload_file(f"{folder}/{name}.npz", "bucket", f"{name}.npz")
    def load(name, like):
        os.makedirs(folder, exist_ok=True)
        client.download_file("bucket", f"{name}.npz", f"{folder}/{name}.npz")
        with np.load(f"{folder}/{name}.npz") as file:
            return {leaf: file[leaf] for leaf in like}

small = f"small-{case.replace(' ', '-')}-{job}"
save(small, tree(1000))
load(small, shapes(1000))
name = f"tree-{case.replace(' ', '-')}-{size}"
if job == "save":
    values = tree(size)
    begin = time.perf_counter()
    save(name, values)
    seconds = time.perf_counter() - begin
else:
    like = shapes(size)
    begin = time.perf_counter()
    values = load(name, like)
    seconds = time.perf_counter() - begin
    assert all((leaf == values[key]).all() for key, leaf in tree(size).items())
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps({"seconds": seconds, "peak_gib": peak}), flush=True)
"""

GROUPS = {"local disk": ["ours", "Orbax", "np.savez"], "S3": ["ours on S3", "np.savez + boto3"]}
PEERS = {"local disk": ["Orbax"], "S3": ["np.savez + boto3"]}


def measure(case: str, job: str, size: int, folder: str, url: str) -> dict:
    """Seconds and peak GiB of one save or load."""
    command = [sys.executable, "-c", JOB, case, job, str(size), folder, url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"seconds"')]
    if not lines:
        raise SystemExit(f"{case} could not {job} {size} bytes:\n{done.stderr[-3000:]}")
    return json.loads(lines[-1])


def empty(url: str) -> None:
    """An empty bucket: the server keeps everything in memory."""
    import urllib.request

    import boto3

    with urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset", method="POST")) as answer:
        answer.read()
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=url, **keys).create_bucket(Bucket="bucket")


def run(size: int, rounds: int, url: str) -> list[dict]:
    """One row for each place, case and job."""
    found: dict[tuple[str, str, str], list[dict]] = {}
    for _ in range(rounds):
        for place, cases in GROUPS.items():
            for case in cases:
                empty(url)
                with tempfile.TemporaryDirectory() as folder:
                    for job in ("save", "load"):
                        result = measure(case, job, size, folder, url)
                        print(
                            f"{size / 1e6:.0f} MB {case} {job} {result['seconds']:.2f} s", file=sys.stderr, flush=True
                        )
                        found.setdefault((place, case, job), []).append(result)
    return [row(size, *key, results) for key, results in found.items()]


TRAINING = """
import statistics, sys
import jax
from analogjax import AnalogLinear, BasicTraining, FashionMNIST, LocalRunner, Sequential
from analogjax.nn import flatten
folder, url, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3])
layers = [flatten, AnalogLinear(256), jax.nn.sigmoid, AnalogLinear(128), jax.nn.sigmoid, AnalogLinear(10)]
experiment = BasicTraining(FashionMNIST, Sequential(*layers, jax.nn.log_softmax), epochs=epochs)
keys = {"key": "test", "secret": "test", "endpoint_url": url}
for turn in range(2):  # in turns, because the machine's speed drifts
    for name, options in {
        "without": {},
        "local disk": {"checkpoint_dir": f"{folder}/{turn}"},
        "S3": {"checkpoint_dir": f"s3://bucket/{turn}", "storage_options": keys},
    }.items():
        found = LocalRunner().run(experiment, stdout=False, **options)
        times = [entry["time_epoch"] for entry in found[1:]]  # the first one compiles
        print(f"{name:11} {statistics.median(times):7.3f}  ({' '.join(f'{t:.3f}' for t in times)})", flush=True)
"""


def overhead(url: str, epochs: int) -> None:
    """Seconds of an epoch of the main job with a checkpoint after each epoch, saved while the next one runs."""
    print(f"\n{'saved to':11} s/epoch (median, all after the first)", flush=True)
    empty(url)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", TRAINING, folder, url, str(epochs)], cwd=ROOT, check=True)


def row(size: int, place: str, case: str, job: str, results: list[dict]) -> dict:
    seconds = [result["seconds"] for result in results]
    timed = {"seconds": statistics.median(seconds), "seconds_min": min(seconds), "seconds_all": seconds}
    peak = max(result["peak_gib"] for result in results)
    return {"bytes": size, "place": place, "case": case, "job": job} | timed | {"peak_gib": peak}


def report(rows: list[dict], file: str | None) -> None:
    for one in rows:
        peers = [
            other for other in rows
            if (other["place"], other["job"]) == (one["place"], one["job"]) and other["case"] in PEERS[one["place"]]
        ]  # fmt: skip
        one["ratio"] = one["seconds"] / min(peer["seconds"] for peer in peers)
        goal = f"  (goal: {GOAL})" if one["case"].startswith("ours") else ""
        every = " ".join(f"{s:.2f}" for s in one["seconds_all"])
        mb = one["bytes"] / 1e6
        print(
            f"{mb:6.0f} MB  {one['place']:10}  {one['case']:16}  {one['job']:4}  {one['seconds']:7.2f}  ({every:20})  "
            f"{mb / one['seconds']:6.0f}  {one['peak_gib']:5.2f}  {one['ratio']:6.2f}{goal}",
            flush=True,
        )
        if file:
            with open(file, "a") as out:
                print(json.dumps(one), file=out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=float, nargs="+", default=[100, 1000], help="MB of the tree")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8, help="of the training whose epochs are timed")
    parser.add_argument("--json", help="append the rows to this file as JSON lines")
    options = parser.parse_args()
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdin is not None and server.stdout is not None
    try:
        url = server.stdout.readline().strip()
        print(f"{'':43} s (median, all)                    MB/s    GiB  x peer")
        for size in options.sizes:
            report(run(int(size * 1e6), options.rounds, url), options.json)
        overhead(url, options.epochs)
    finally:
        server.stdin.close()
        server.wait()


if __name__ == "__main__":
    main()
