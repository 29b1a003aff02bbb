"""How long is an update? Every device and compound on a 512x512 tile, batch 64, and a step of LeNet-5, against aihwkit.

Each measurement has a process of its own; ours and the peer's take turns, device by device, so that load falls on both
alike. Compile time is printed apart. x is uniform in 0..1, d normal with deviation 0.01, learning rate 0.05: trains of
a few pulses, as in training. Nothing here fails on a slow machine.

    python benchmarks/devices.py [--peer-python PYTHON] [--rounds 3] [--only NAME ...] [--threads 2] [--json FILE]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

SIZE, BATCH, RATE, CHIPS = 512, 64, 0.05, 256
PLAIN = (
    "ConstantStep", "LinearStep", "SoftBounds", "SoftBoundsReference", "ExpStep", "PowStep", "PowStepReference",
    "PiecewiseStep",
)  # fmt: skip
COMPOUNDS = (
    "Vector",
    "OneSided",
    "Transfer",
    "BufferedTransfer",
    "ChoppedTransfer",
    "DynamicTransfer",
    "MixedPrecision",
)
LENET = ("LeNet SGD", "LeNet TTv2")
ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="a Python that has aihwkit; without it, ours alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="names of devices")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", help="write the figures to this file")
    parser.add_argument("--role", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        kind, name = options.role.split(":")
        print(json.dumps(ROLES[kind](name)))
        return
    names = [name for name in (*PLAIN, *COMPOUNDS, *LENET, "256 chips") if not options.only or name in options.only]
    table = {name: _in_turns(name, options) for name in names}
    if options.json:
        Path(options.json).write_text(json.dumps(table, indent=1))


def _in_turns(name: str, options: argparse.Namespace) -> dict:
    threads = 1 if name in LENET else options.threads
    ours, theirs = [], []
    for _ in range(options.rounds):
        ours.append(_measure(sys.executable, f"ours:{name}", threads))
        if options.peer_python and name != "256 chips":
            theirs.append(_measure(options.peer_python, f"peer:{name}", threads))
    found = {"ours_ms": statistics.median(one["ms"] for one in ours), "compile_s": ours[0]["compile_s"]}
    text = f"{name:20s} ours {found['ours_ms']:8.2f} ms (compiled in {found['compile_s']:.1f} s)"
    if theirs:
        found["peer_ms"] = statistics.median(one["ms"] for one in theirs)
        text += f", aihwkit {found['peer_ms']:8.2f} ms: {found['peer_ms'] / found['ours_ms']:.1f} times"
    if "memory_mb" in ours[0]:
        found["memory_mb"] = ours[0]["memory_mb"]
        text += f", {found['memory_mb']:.0f} MB at most"
    print(text, flush=True)
    return found


def _measure(python: str, role: str, threads: int) -> dict:
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "3",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false" if threads == 1 else "",
    }  # fmt: skip
    command = [python, str(Path(__file__)), "--role", role]
    if threads == 1:
        command = ["taskset", "-c", "0", *command]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT, timeout=1800)
    if done.returncode:
        sys.exit(f"{role} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


# Ours


def _our_device(name: str):
    from analogjax.physics import compounds, devices

    soft = devices.SoftBoundsReference()
    if name in PLAIN:
        return getattr(devices, name)()
    if name == "Vector":
        return compounds.Vector(devices=(soft, soft))
    if name == "OneSided":
        return compounds.OneSided(device=soft)
    if name == "MixedPrecision":
        return compounds.MixedPrecision(device=soft)
    made = {"Transfer": "tiki_taka", "BufferedTransfer": "ttv2", "ChoppedTransfer": "c_ttv2", "DynamicTransfer": "agad"}
    return getattr(compounds, made[name])(devices=(soft, soft))


def _ours(name: str) -> dict:
    if name in LENET:
        return _our_lenet(name)
    if name == "256 chips":
        return _our_chips()
    import jax
    import jax.numpy as jnp
    import numpy as np

    from analogjax import random
    from analogjax.tile import Signal, TileConfig, create, update

    chance = np.random.default_rng(0)
    signal = Signal(
        x=jnp.asarray(chance.uniform(0, 1, (BATCH, SIZE)), jnp.float32),
        d=jnp.asarray(0.01 * chance.standard_normal((BATCH, SIZE)), jnp.float32),
    )
    tile = create(TileConfig(device=_our_device(name)), (SIZE, SIZE), random.key(0))
    step = jax.jit(lambda tile, key: update(tile, signal, RATE, key=key), donate_argnums=0)
    return _timed(lambda tile, n: step(tile, jax.random.fold_in(random.key(1), n)), tile)


def _our_chips() -> dict:
    """One update of 256 chips in one call; the memory of the process at its largest."""
    import resource

    import jax
    import jax.numpy as jnp
    import numpy as np

    from analogjax import random
    from analogjax.tile import Signal, TileConfig, create, update

    size, chance = 128, np.random.default_rng(0)
    x = jnp.asarray(chance.uniform(0, 1, (BATCH, size)), jnp.float32)
    d = jnp.asarray(0.01 * chance.standard_normal((BATCH, size)), jnp.float32)
    config = TileConfig(device=_our_device("SoftBounds"))
    chips = jax.jit(jax.vmap(lambda key: create(config, (size, size), key)))(jax.random.split(random.key(0), CHIPS))

    def one(tile, key):
        return update(tile, Signal(x=x, d=d), RATE, key=key)

    step = jax.jit(jax.vmap(one), donate_argnums=0)
    found = _timed(lambda tiles, n: step(tiles, jax.random.split(jax.random.fold_in(random.key(1), n), CHIPS)), chips)
    return found | {"memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _timed(step, state, seconds: float = 2.0) -> dict:
    import jax

    begun = time.perf_counter()
    state = jax.block_until_ready(step(state, 0))
    compiled, times = time.perf_counter() - begun, []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(times) < 5:
        begun = time.perf_counter()
        state = jax.block_until_ready(step(state, len(times) + 1))
        times.append(time.perf_counter() - begun)
    return {"ms": 1000 * statistics.median(times), "compile_s": compiled}


def _our_lenet(name: str) -> dict:
    from functools import partial

    import jax
    import jax.numpy as jnp
    import numpy as np

    from analogjax import nn
    from analogjax.tile import TileConfig

    pool = partial(nn.max_pool, window=(2, 2))
    config = TileConfig(device=_our_device("SoftBoundsReference" if name == "LeNet SGD" else "BufferedTransfer"))
    model = nn.Sequential(
        nn.AnalogConv2d(16, config, kernel_size=(5, 5)), jnp.tanh, pool,
        nn.AnalogConv2d(32, config, kernel_size=(5, 5)), jnp.tanh, pool, nn.flatten,
        nn.AnalogLinear(128, config), jnp.tanh, nn.AnalogLinear(10, config), jax.nn.log_softmax,
    )  # fmt: skip
    chance = np.random.default_rng(0)
    x = jnp.asarray(chance.standard_normal((8, 28, 28, 1)), jnp.float32)
    y = jnp.asarray(chance.integers(0, 10, 8))
    return _timed_training(model, x, y)


def _timed_training(model, x, y) -> dict:
    import jax
    import jax.numpy as jnp

    from analogjax import nn, random
    from analogjax.experiments import nll_loss
    from analogjax.optim import PulsedSGD

    variables, sgd = nn.init(model, x, random.key(0)), PulsedSGD(0.01)
    slots = nn.slots(model, variables, x)

    def step(carry, n):
        variables, state = carry
        k_forward, k_update = jax.random.split(jax.random.fold_in(random.key(1), n))

        def loss(params, slots):
            given = nn.Variables(params=params, tiles=variables.tiles)
            return jnp.mean(nll_loss(nn.apply(model, given, x, key=k_forward, slots=slots), y))

        gradients, signals = jax.grad(loss, argnums=(0, 1))(variables.params, slots)
        tiles, state = sgd.update(signals, state, variables.tiles, key=k_update)
        params = jax.tree.map(lambda p, g: p - 0.01 * g, variables.params, gradients)
        return nn.Variables(params=params, tiles=tiles), state

    return _timed(jax.jit(step, donate_argnums=0), (variables, sgd.init(variables.tiles)))  # as `LocalRunner` runs it


# The peer


def _peer_device(name: str):
    from aihwkit.simulator import configs as c
    from aihwkit.simulator.configs import compounds, devices

    soft = [devices.SoftBoundsReferenceDevice(), devices.SoftBoundsReferenceDevice()]
    if name in PLAIN:
        return c.SingleRPUConfig(device=getattr(devices, f"{name}Device")())
    if name == "MixedPrecision":
        return c.DigitalRankUpdateRPUConfig(device=compounds.MixedPrecisionCompound(device=soft[0]))
    kind = {"Vector": "VectorUnitCell", "OneSided": "OneSidedUnitCell"}.get(name, f"{name}Compound")
    return c.UnitCellRPUConfig(device=getattr(compounds, kind)(unit_cell_devices=soft))


def _peers(name: str) -> dict:
    import torch
    from aihwkit.nn import AnalogLinear

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if name in LENET:
        return _peer_lenet(name)
    torch.manual_seed(0)
    tile = next(AnalogLinear(SIZE, SIZE, bias=False, rpu_config=_peer_device(name)).analog_tiles())
    tile.set_learning_rate(RATE)
    x, d = torch.rand(BATCH, SIZE), 0.01 * torch.randn(BATCH, SIZE)
    return _timed_calls(lambda: tile.update(x, d))


def _timed_calls(call, seconds: float = 2.0) -> dict:
    call()
    times, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until or len(times) < 5:
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return {"ms": 1000 * statistics.median(times), "compile_s": 0.0}


def _peer_lenet(name: str) -> dict:
    import torch
    from aihwkit.nn import AnalogConv2d, AnalogLinear, AnalogSequential
    from aihwkit.optim import AnalogSGD
    from torch import nn

    config = _peer_device("SoftBoundsReference" if name == "LeNet SGD" else "BufferedTransfer")
    model = AnalogSequential(
        AnalogConv2d(1, 16, 5, rpu_config=config), nn.Tanh(), nn.MaxPool2d(2),
        AnalogConv2d(16, 32, 5, rpu_config=config), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(),
        AnalogLinear(512, 128, rpu_config=config), nn.Tanh(), AnalogLinear(128, 10, rpu_config=config),
        nn.LogSoftmax(1),
    )  # fmt: skip
    optimizer = AnalogSGD(model.parameters(), lr=0.01)
    optimizer.regroup_param_groups(model)
    x, y, loss = torch.randn(8, 1, 28, 28), torch.randint(0, 10, (8,)), nn.NLLLoss()

    def step():
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()

    return _timed_calls(step)


ROLES = {"ours": _ours, "peer": _peers}

if __name__ == "__main__":
    main()
