"""Who can train where the reference is not the symmetry point? Tiki-Taka 2, AGAD, E-RIDER on devices of few states.

The set-up of arXiv:2602.21321, table 2: HfO2 ReRAM (Gong, Rasch et al. 2022) whose reference is off by a normal number
of the given mean and deviation, 784-256-128-10 with sigmoids, batch 10, hyper-parameters of its table 5, converters of
its table 6, trains of 5 pulses; FashionMNIST instead of MNIST. A line is read after each mini-batch, so that choppers
flip for the first time after 20 * 784 of them, 2.6 epochs; `--reads N` reads N times as often, for shorter runs.

    python benchmarks/references.py [--mean 0.4] [--std 0.4] [--seeds 3] [--epochs 40] [--items 60000] [--reads 1]
        [--only NAME ...] [--json FILE]
"""

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

import jax

from analogjax import AnalogLinear, BasicTraining, FashionMNIST, LocalRunner, Sequential, TileConfig
from analogjax.nn import flatten
from analogjax.physics import Periphery, Pulses, Transfer, agad, e_rider, presets, ttv2

SINGLE = Pulses(desired_bl=1, update_bl_management=True, update_management=True)
PUBLISHED = {"Tiki-Taka 2": 67.85, "AGAD": 92.06, "E-RIDER": 96.23}  # on MNIST, mean and deviation 0.4, 40 epochs


def contestants(device, every: float) -> dict[str, tuple[Transfer, float]]:
    """The algorithms with their hyper-parameters, and the learning rate of each."""
    common = {
        "devices": (device, device), "transfer_every": every, "transfer_forward": Periphery(), "units_in_mbatch": True,
        "transfer_update": SINGLE,
    }  # fmt: skip
    buffered = {"auto_granularity": 1000.0, "tail_weightening": 5.0}
    return {
        "Tiki-Taka 2": (ttv2(**common, fast_lr=0.03, scale_fast_lr=True, transfer_lr=0.01, thres_scale=0.8), 0.005),
        "AGAD": (agad(**common, **buffered, in_chop_prob=0.1, fast_lr=0.05, transfer_lr=0.3), 0.05),
        "E-RIDER": (e_rider(**common, **buffered, in_chop_prob=0.05, fast_lr=0.5, transfer_lr=0.05, gamma=0.1), 0.05),
    }


def main() -> None:
    """Print the accuracies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mean", type=float, default=0.4)
    parser.add_argument("--std", type=float, default=0.4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--items", type=int, default=0, help="first items only; 0: all")
    parser.add_argument("--reads", type=int, default=1, help="lines that are read for each mini-batch")
    parser.add_argument("--only", nargs="*", choices=PUBLISHED, help="some of them")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    device = replace(presets.RERAM_ARRAY_HFO2, reference_mean=options.mean, reference_std=options.std)
    table = {}
    for name, (compound, rate) in contestants(device, 1 / options.reads).items():
        if not options.only or name in options.only:
            table[name] = _row(name, compound, rate, options)
            if options.json:
                options.json.write_text(json.dumps(table, indent=1))


def _row(name: str, compound: Transfer, rate: float, options: argparse.Namespace) -> list[list[float]]:
    """The accuracy after each epoch, of each seed."""
    config = TileConfig(device=compound, update=Pulses(desired_bl=5))
    layers = (flatten, AnalogLinear(256, config), jax.nn.sigmoid, AnalogLinear(128, config), jax.nn.sigmoid)
    model = Sequential(*layers, AnalogLinear(10, config), jax.nn.log_softmax)
    experiment = BasicTraining(FashionMNIST, model, batch_size=10, epochs=options.epochs, learning_rate=rate)
    begun, curves = time.perf_counter(), []
    for seed in range(options.seeds):
        results = LocalRunner().run(experiment, options.items, stdout=False, seed=seed, progress=False)
        curves.append([100 * one["accuracy"] for one in results])
    last = [curve[-1] for curve in curves]
    spread = statistics.stdev(last) if len(last) > 1 else 0.0
    print(
        f"{name:12s} {statistics.mean(last):6.2f} % +- {spread:.2f} ({', '.join(f'{one:.2f}' for one in last)}), "
        f"{(time.perf_counter() - begun) / len(last):.0f} s a run; published on MNIST: {PUBLISHED[name]} %",
        flush=True,
    )
    return curves


if __name__ == "__main__":
    main()
