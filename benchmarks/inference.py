"""How fast are programming, drift and evaluation, and a hardware-aware step? Against aihwkit, in the same run.

Evaluation: program one chip, drift it to five times, classify the test split of FashionMNIST at each; LeNet-5 and
784-512-512-10; seconds for each chip, after compilation. Step: one hardware-aware step (modifier, forward, backward,
Adam) of a layer of 512x512 and 1024x1024, batch 64; milliseconds. Native, and aihwkit's inference tile and torch tile.

    python benchmarks/inference.py [--peer-python PYTHON] [--chips 3] [--items 10000] [--only evaluation|step]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIMES = "[0.0, 1.0, 3600.0, 86400.0, 31536000.0]"

NATIVE = """
import dataclasses, json, resource, sys, time
import jax, jax.numpy as jnp, numpy as np, optax
from functools import partial
from analogjax import FashionMNIST, nn, random
from analogjax.experiments import evaluate
from analogjax.physics import AddNormal, PCMLike
from analogjax.tile import HardwareAware, Mapping
what, size, chips, items = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
config = HardwareAware(mapping=Mapping(weight_scaling_omega=1.0), modifier=AddNormal(std_dev=0.1))
def network(name):
    if name == "mlp":
        return nn.Sequential(nn.flatten, nn.AnalogLinear(512, config), jnp.tanh, nn.AnalogLinear(512, config), jnp.tanh,
                             nn.AnalogLinear(10, config), jax.nn.log_softmax)
    pool = partial(nn.max_pool, window=(2, 2))
    return nn.Sequential(nn.AnalogConv2d(16, config, kernel_size=(5, 5)), jnp.tanh, pool,
                         nn.AnalogConv2d(32, config, kernel_size=(5, 5)), jnp.tanh, pool, nn.flatten,
                         nn.AnalogLinear(128, config), jnp.tanh, nn.AnalogLinear(10, config), jax.nn.log_softmax)
if what == "evaluation":
    model = network(size)
    variables = nn.init(model, jnp.zeros((1, 28, 28, 1)), random.key(0))
    spent = [time.perf_counter()]
    evaluate(model, variables, FashionMNIST, chips=chips + 1, times=TIMES, noise_model=PCMLike(), max_elements=items,
             on_chips=lambda found: spent.append(time.perf_counter()))
    each = np.diff(spent)
    out = {"first_s": float(each[0]), "each": float(np.median(each[1:]))}
else:
    n = int(size)
    model = nn.AnalogLinear(n, HardwareAware(modifier=AddNormal(std_dev=0.1), mapping=Mapping(max_input_size=0,
                            max_output_size=0)))
    x, y = random.normal(random.key(1), (64, n)), random.normal(random.key(2), (64, n))
    variables, adam = nn.init(model, x, random.key(0)), optax.adam(1e-3)
    @jax.jit
    def step(variables, state, key):
        def loss(params):
            out, collections = nn.apply_training(model, variables.replace(params=params), x, key=key)
            return jnp.mean((out - y) ** 2), collections
        (_, collections), gradient = jax.value_and_grad(loss, has_aux=True)(variables.params)
        moves, state = adam.update(gradient, state, variables.params)
        params, collections = nn.after_step(optax.apply_updates(variables.params, moves), collections)
        return variables.replace(params=params, collections=collections), state
    state, key, begin = adam.init(variables.params), random.key(3), time.perf_counter()
    variables, state = jax.block_until_ready(step(variables, state, key))
    first, each = time.perf_counter() - begin, []
    for k in range(30):
        begin = time.perf_counter()
        variables, state = jax.block_until_ready(step(variables, state, random.key(k)))
        each.append(1e3 * (time.perf_counter() - begin))
    out = {"first_s": first, "each": float(np.median(each))}
print(json.dumps(out | {"GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}))
"""

PEER = """
import json, resource, sys, time
import numpy as np, torch
from torch import nn
from aihwkit.nn import AnalogConv2d, AnalogLinear, AnalogSequential
from aihwkit.inference import PCMLikeNoiseModel
from aihwkit.simulator.configs import InferenceRPUConfig, TorchInferenceRPUConfig, WeightModifierType
what, size, chips, items, kind = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
torch.set_num_threads(2)
def config(**mapping):
    made = (TorchInferenceRPUConfig if kind == "torch" else InferenceRPUConfig)()
    made.modifier.type, made.modifier.std_dev = WeightModifierType.ADD_NORMAL, 0.1
    made.mapping.weight_scaling_omega = mapping.pop("omega", 1.0)
    for name, value in mapping.items():
        setattr(made.mapping, name, value)
    made.noise_model = PCMLikeNoiseModel()
    return made
def network(name):
    c = config()
    if name == "mlp":
        return AnalogSequential(nn.Flatten(), AnalogLinear(784, 512, rpu_config=c), nn.Tanh(),
            AnalogLinear(512, 512, rpu_config=c), nn.Tanh(), AnalogLinear(512, 10, rpu_config=c), nn.LogSoftmax(1))
    return AnalogSequential(AnalogConv2d(1, 16, 5, rpu_config=c), nn.Tanh(), nn.MaxPool2d(2),
        AnalogConv2d(16, 32, 5, rpu_config=c), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(),
        AnalogLinear(512, 128, rpu_config=c), nn.Tanh(), AnalogLinear(128, 10, rpu_config=c), nn.LogSoftmax(1))
each = []
if what == "evaluation":
    model = network(size).eval()
    x, y = torch.randn(items, 1, 28, 28), torch.randint(0, 10, (items,))
    with torch.no_grad():
        for chip in range(chips):
            begin = time.perf_counter()
            model.program_analog_weights()
            for t in TIMES:
                model.drift_analog_weights(t)
                right = sum(int((model(x[k:k + 500]).argmax(1) == y[k:k + 500]).sum()) for k in range(0, items, 500))
            each.append(time.perf_counter() - begin)
else:
    n = int(size)
    model = AnalogLinear(n, n, rpu_config=config(omega=0.0, max_input_size=0, max_output_size=0))
    from aihwkit.optim import AnalogAdam
    optimizer = AnalogAdam(model.parameters(), lr=1e-3)
    x, y = torch.randn(64, n), torch.randn(64, n)
    for k in range(31):
        begin = time.perf_counter()
        optimizer.zero_grad()
        ((model(x) - y) ** 2).mean().backward()
        optimizer.step()
        each.append(1e3 * (time.perf_counter() - begin))
    each = each[1:]
print(json.dumps({"first_s": 0.0, "each": float(np.median(each)),
                  "GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}))
"""


def measured(python: str, script: str, *arguments: object) -> dict[str, float]:
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [python, "-c", script.replace("TIMES", TIMES), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, arguments))} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="a Python with aihwkit and torch")
    parser.add_argument("--chips", type=int, default=3)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--only", choices=("evaluation", "step"))
    given = parser.parse_args()
    cases = [("evaluation", "mlp"), ("evaluation", "lenet"), ("step", "512"), ("step", "1024")]
    print(f"{'':22}{'native':>10}{'first s':>9}{'GiB':>6}{'inference tile':>16}{'x':>6}{'torch tile':>12}{'x':>6}")
    for what, size in cases:
        if given.only not in (None, what):
            continue
        own = measured(sys.executable, NATIVE, what, size, given.chips, given.items)
        line = f"{what:11}{size:6}{'s' if what == 'evaluation' else 'ms':>5}{own['each']:10.2f}{own['first_s']:9.1f}"
        line += f"{own['GiB']:6.1f}"
        for kind, width in (("inference", 16), ("torch", 12)) if given.peer_python else ():
            peer = measured(given.peer_python, PEER, what, size, given.chips, given.items, kind)
            line += f"{peer['each']:{width}.2f}{peer['each'] / own['each']:6.1f}"
        print(line, flush=True)
    print(f"largest: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20:.1f} GiB")


if __name__ == "__main__":
    main()
