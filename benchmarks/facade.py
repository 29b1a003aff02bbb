"""An unchanged torch training loop on one AnalogLinear(512, 512), batch 64: ours against aihwkit, in turns.

python benchmarks/facade.py [--peer-python PYTHON] [--rounds 5] [--steps 100]
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
from aihwkit.nn import AnalogLinear
from aihwkit.optim import AnalogSGD
from aihwkit.simulator.configs import ConstantStepDevice, SingleRPUConfig
torch.manual_seed(0)
torch.set_num_threads(2)
model = AnalogLinear(512, 512, bias=True, rpu_config=SingleRPUConfig(device=ConstantStepDevice()))
optimizer = AnalogSGD(model.parameters(), lr=0.1)
optimizer.regroup_param_groups(model)
x, y = torch.randn(64, 512), torch.randn(64, 512)
def step():
    optimizer.zero_grad()
    loss = mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
    return loss
begin = time.perf_counter(); step(); float(mse_loss(model(x), y)); first = time.perf_counter() - begin
print(json.dumps({"first_s": first}), flush=True)
for line in sys.stdin:
    begin = time.perf_counter()
    for _ in range(int(line)):
        step()
    loss = float(mse_loss(model(x), y))  # reading the weights ends whatever still runs
    print(json.dumps({"step_ms": 1e3 * (time.perf_counter() - begin) / int(line), "loss": loss}), flush=True)
"""


class Contestant:
    """A process that makes as many steps as the number it is sent says."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name, self.times = name, []
        environment = os.environ | {"PYTHONPATH": str(ROOT)} if name == "compat" else None
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.first = self._read()["first_s"]

    def turn(self, steps: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        found = self._read()
        self.times.append(found["step_ms"])
        self.loss = found["loss"]

    def _read(self) -> dict:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"{self.name} stopped with exit code {self.process.wait()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="a Python with aihwkit and torch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    contestants = [Contestant("compat", [sys.executable, "-c", "import compat; compat.install()\n" + SCRIPT])]
    if options.peer_python:
        contestants.append(Contestant("aihwkit (peer)", [options.peer_python, "-c", SCRIPT]))
    for _ in range(options.rounds):
        for contestant in contestants:
            contestant.turn(options.steps)
    for contestant in contestants:
        every = " ".join(f"{ms:.2f}" for ms in contestant.times)
        print(
            f"{contestant.name:16} median {statistics.median(contestant.times):6.2f} ms/step ({every}), "
            f"first step {contestant.first:.2f} s, loss {contestant.loss:.3f}"
        )


if __name__ == "__main__":
    main()
