"""An unchanged torch training loop on a row of AnalogLinear: ours, ours compiled as a whole, and aihwkit, in turns.

python benchmarks/facade.py [--peer-python PYTHON] [--sizes 4 64 512] [--layers 2] [--batch 64] [--device tiki-taka]
                            [--rounds 5] [--steps 100]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

SCRIPT = """
import json, sys, time
import torch
from torch.nn.functional import mse_loss
from aihwkit.nn import AnalogLinear, AnalogSequential
from aihwkit.optim import AnalogSGD
from aihwkit.simulator.configs import ConstantStepDevice, SingleRPUConfig, SoftBoundsDevice, UnitCellRPUConfig
from aihwkit.simulator.configs.compounds import TransferCompound
case = json.loads(sys.argv[1])
torch.manual_seed(0)
torch.set_num_threads(2)
def configuration():
    if case["device"] == "constant-step":
        return SingleRPUConfig(device=ConstantStepDevice())
    pair = [SoftBoundsDevice(), SoftBoundsDevice()]
    return UnitCellRPUConfig(device=TransferCompound(unit_cell_devices=pair, transfer_every=1, n_reads_per_transfer=1))
n = case["size"]
model = AnalogSequential(*[AnalogLinear(n, n, rpu_config=configuration()) for _ in range(case["layers"])])
optimizer = AnalogSGD(model.parameters(), lr=0.1)
optimizer.regroup_param_groups(model)
x, y = torch.randn(case["batch"], n), torch.randn(case["batch"], n)
def step():
    optimizer.zero_grad()
    loss = mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
    return loss
begin = time.perf_counter()
if case["whole"]:
    import compat
    whole = compat.compile(model, mse_loss, optimizer)
    step = lambda: whole(x, y)
step(); mse_loss(model(x), y).item(); first = time.perf_counter() - begin
for _ in range(10):
    step()
print(json.dumps({"first_s": first}), flush=True)
for line in sys.stdin:
    begin = time.perf_counter()
    for _ in range(int(line)):
        step()
    loss = mse_loss(model(x), y).item()  # reading the weights ends whatever still runs
    print(json.dumps({"step_ms": 1e3 * (time.perf_counter() - begin) / int(line), "loss": loss}), flush=True)
"""
OURS = "import compat; compat.install()\n" + SCRIPT


class Contestant:
    """A process that makes as many steps as the number it is sent says."""

    def __init__(self, name: str, python: str, script: str, case: dict) -> None:
        self.name, self.times = name, []
        ours = {"PYTHONPATH": str(ROOT)} if script is OURS else {}
        self.process = subprocess.Popen(
            [python, "-c", script, json.dumps(case)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | ours,
        )  # fmt: skip
        self.first = self._read()["first_s"]

    def turn(self, steps: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        found = self._read()
        self.times.append(found["step_ms"])
        self.loss = found["loss"]

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _read(self) -> dict:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"{self.name} stopped with exit code {self.process.wait()}")


def compare(case: dict, options: argparse.Namespace) -> None:
    """Print what each takes for a step of one case."""
    contestants = [
        Contestant("compat", sys.executable, OURS, case | {"whole": False}),
        Contestant("compat.compile", sys.executable, OURS, case | {"whole": True}),
    ]
    if options.peer_python:
        contestants.append(Contestant("aihwkit (peer)", options.peer_python, SCRIPT, case | {"whole": False}))
    for _ in range(options.rounds):
        for contestant in contestants:
            contestant.turn(options.steps)
    for contestant in contestants:
        contestant.end()
        every = " ".join(f"{ms:.2f}" for ms in contestant.times)
        print(
            f"{case['size']:4} {contestant.name:16} median {statistics.median(contestant.times):6.2f} ms/step "
            f"({every}), first step {contestant.first:.2f} s, loss {contestant.loss:.3f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="a Python with aihwkit and torch")
    parser.add_argument("--sizes", type=int, nargs="+", default=[512])
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--device", choices=["constant-step", "tiki-taka"], default="constant-step")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    for size in options.sizes:
        case = {"size": size, "layers": options.layers, "batch": options.batch, "device": options.device}
        compare(case, options)


if __name__ == "__main__":
    main()
