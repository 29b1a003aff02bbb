"""How long is an epoch of the main job? Native, compat, and aihwkit where a Python that has it is given.

FashionMNIST, 784-256-128-10, sigmoid, ConstantStep devices, batch 64, learning rate 0.05. The contestants run in turns
on the same cores (`--rounds`), each in a process that is paused while the others run, so that load falls on all alike.
Compile time is printed apart. Nothing here fails on a slow machine.

    python benchmarks/main_job.py [--peer-python PYTHON] [--rounds 3] [--items 60000] [--json FILE]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

NATIVE = """
import os, resource, sys, time, json
items = int(sys.argv[1])
if "narrow" in sys.argv:  # the vectors of 256 bits that XLA chooses by itself
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_prefer_vector_width=256"
import jax
if len(sys.argv) > 2 and sys.argv[2] != "-":
    jax.config.update("jax_compilation_cache_dir", sys.argv[2])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
import jax.numpy as jnp
from analogjax import AnalogLinear, BasicTraining, FashionMNIST, Sequential, nn, random
from analogjax.experiments import Images, Program, RunKeys
from analogjax.experiments.loop import validation_rows
model = Sequential(nn.flatten, AnalogLinear(256), jax.nn.sigmoid, AnalogLinear(128), jax.nn.sigmoid, AnalogLinear(10),
                   jax.nn.log_softmax)
experiment = BasicTraining(FashionMNIST, model)
program, keys = Program.of(experiment), RunKeys.of(random.key(0))
def images(train):
    split = FashionMNIST.load(train=train).head(items)
    values = (split.images[..., None], split.labels, FashionMNIST.mean, FashionMNIST.std)
    return Images(*(jnp.asarray(v) for v in values))
train, test = images(True), images(False)
begin = time.perf_counter(); state = jax.block_until_ready(program.start(train, keys.init))
chips = time.perf_counter() - begin
advance, evaluate, order = program.compiled()
rows = order(train, 0, keys.order)
begin = time.perf_counter(); lowered = advance.lower(state, train, rows, 0, 1, keys.noise)
trace = time.perf_counter() - begin
begin = time.perf_counter(); advance = lowered.compile(); compiled = time.perf_counter() - begin
begin = time.perf_counter()
tests = validation_rows(test.labels.shape[0])
evaluate = evaluate.lower(state.variables, test, tests, keys.validation).compile()
validation = time.perf_counter() - begin
print(json.dumps({"chips_s": chips, "trace_s": trace, "compile_s": compiled, "compile_validation_s": validation}),
      flush=True)
for epoch, _ in enumerate(sys.stdin):
    begin = time.perf_counter()
    rows = order(train, epoch, keys.order)
    state = advance(state, train, rows, 0, rows[0].shape[0], keys.noise)
    sums = evaluate(state.variables, test, tests, jax.random.fold_in(keys.validation, epoch))
    accuracy = float(sums["accuracy"]) / test.labels.shape[0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"epoch_s": time.perf_counter() - begin, "accuracy": accuracy, "peak_gib": peak}), flush=True)
"""

TORCH = """
import json, os, resource, sys, time
items = int(sys.argv[1])
COMPAT = sys.argv[2] == "compat"
if COMPAT:
    import compat
    compat.install()
import torch
from torch import nn
from torchvision.datasets import FashionMNIST
from aihwkit.experiments import BasicTraining
from aihwkit.experiments.runners import LocalRunner
from aihwkit.nn import AnalogLinear, AnalogSequential
from aihwkit.simulator.configs import ConstantStepDevice, SingleRPUConfig
torch.manual_seed(1)
def linear(i, o):
    return AnalogLinear(i, o, True, rpu_config=SingleRPUConfig(device=ConstantStepDevice()))
model = AnalogSequential(nn.Flatten(), linear(784, 256), nn.Sigmoid(), linear(256, 128), nn.Sigmoid(), linear(128, 10),
                         nn.LogSoftmax(dim=1))
print(json.dumps({}), flush=True)
runs = 0
for _ in sys.stdin:
    # a run of one epoch pays for loading and converting; of two runs, the second epoch of a longer one is the epoch
    epochs = 2 if COMPAT else 1
    found = LocalRunner().run(BasicTraining(dataset=FashionMNIST, model=model, epochs=epochs), items,
                              dataset_root=sys.argv[3])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"epoch_s": found[-1]["time_epoch"], "accuracy": found[-1]["accuracy"], "peak_gib": peak}),
          flush=True)
"""


class Contestant:
    """A process that runs one epoch for each line it is sent."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name, self.epochs = name, []
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tempfile.gettempdir(),
            env={"TF_CPP_MIN_LOG_LEVEL": "3"} | os.environ | {"PYTHONPATH": str(ROOT)} if "peer" not in name else None,
        )  # fmt: skip
        self.setup = self._read()

    def turn(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        self.epochs.append(self._read())

    def _read(self) -> dict:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"{self.name} stopped with exit code {self.process.wait()}")

    def row(self) -> dict:
        seconds = [epoch["epoch_s"] for epoch in self.epochs]
        peak = max(epoch["peak_gib"] for epoch in self.epochs)
        timed = {"epoch_s_min": min(seconds), "epoch_s_median": statistics.median(seconds), "epochs_s": seconds}
        return {"case": self.name} | self.setup | timed | {"peak_gib": peak, "accuracy": self.epochs[-1]["accuracy"]}


def torchvision_layout(folder: Path) -> Path:
    """A folder in torchvision's layout, for the peer, made of files that our reader finds."""
    from analogjax import FashionMNIST

    found = FashionMNIST.find()
    if found is None:
        raise SystemExit("FashionMNIST is not on this machine; run `make demo` with a network once.")
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    import gzip

    for path in Path(found).iterdir():
        if "ubyte" in path.name:
            plain = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            (raw / path.name.removesuffix(".gz")).write_bytes(plain)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="a Python with aihwkit, torch and torchvision")
    parser.add_argument("--native", action="store_true", help="without compat")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--items", type=int, default=0, help="use the first N items only")
    parser.add_argument("--json", help="append the rows to this file as JSON lines")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, cache = torchvision_layout(Path(temporary)), str(Path(temporary) / "cache")
        items, me = str(options.items), sys.executable
        contestants = [Contestant("native, nothing cached", [me, "-c", NATIVE, items, cache])]
        contestants += [Contestant("native", [me, "-c", NATIVE, items, cache])]
        contestants += [Contestant("native, 256-bit vectors", [me, "-c", NATIVE, items, cache, "narrow"])]
        if not options.native:
            contestants += [Contestant("compat", [me, "-c", TORCH, items, "compat", str(folder)])]
        if options.peer_python:
            contestants += [
                Contestant("aihwkit (peer)", [options.peer_python, "-c", TORCH, items, "peer", str(folder)])
            ]
        for _ in range(options.rounds):
            for contestant in contestants:
                contestant.turn()
        report([contestant.row() for contestant in contestants], options.json)


def report(rows: list[dict], file: str | None) -> None:
    reference = rows[-1]["epoch_s_median"] if "peer" in rows[-1]["case"] else None
    print(f"{'':24} s/epoch (median, all)               x peer  chips  trace  compile  validation   GiB  accuracy")
    for row in rows:
        every = " ".join(f"{s:.2f}" for s in row["epochs_s"])
        ratio = f"{reference / row['epoch_s_median']:6.1f}" if reference else "     -"
        names = ("chips_s", "trace_s", "compile_s", "compile_validation_s")
        setup = "  ".join(f"{row[n]:6.2f}" if n in row else "     -" for n in names)
        print(
            f"{row['case']:24} {row['epoch_s_median']:6.2f}  ({every:24})  {ratio}  {setup}  {row['peak_gib']:8.2f}  "
            f"{row['accuracy']:.4f}"
        )
        if file:
            with open(file, "a") as out:
                print(json.dumps(row), file=out)


if __name__ == "__main__":
    main()
