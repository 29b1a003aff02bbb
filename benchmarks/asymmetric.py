"""Who can train on asymmetric devices? Plain pulsed SGD and the Tiki-Taka family on FashionMNIST, several seeds each.

784-256-128-10, sigmoid, batch 10, learning rate 0.05, learned output scales. Exponential and power devices are those of
Wu et al. 2025, arXiv:2502.06309: 1200 states within +-0.6. "4 states" are SoftBounds of four states, the case of
multi-tile residual learning. What is known from aihwkit (one run each, three whole epochs, no learned scales): SGD 82 %
with ConstantStep, 60 % with SoftBoundsReference, 61 % with PowStep, and chance with ExpStep; with SoftBoundsReference
Tiki-Taka 70 %, version 2 82 %, mixed precision 75 %.

    python benchmarks/asymmetric.py [--seeds 3] [--epochs 3] [--items 60000] [--only NAME ...] [--json FILE]
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import jax

from analogjax import AnalogLinear, BasicTraining, FashionMNIST, LocalRunner, Sequential, TileConfig
from analogjax.nn import flatten
from analogjax.physics import compounds, devices
from analogjax.tile import Mapping

EXACT = {"w_max_dtod": 0.0, "w_min_dtod": 0.0}
SOFT = devices.SoftBoundsReference(dw_min=1e-3)
POW, POW_2 = (devices.PowStep(pow_gamma=gamma, pow_gamma_dtod=0.0, **EXACT) for gamma in (1.0, 2.0))
EXP = devices.ExpStep(gamma_up=1.0, gamma_down=1.0, **EXACT)
FOUR = devices.SoftBounds(dw_min=0.5, w_max=1.0, w_min=-1.0)


def pair(device: Any) -> dict[str, Any]:
    return {"devices": (device, device)}


CONTESTANTS = {
    "floating point": devices.FloatingPoint(),
    "SGD, ConstantStep": devices.ConstantStep(),
    "SGD, SoftBoundsReference": SOFT,
    "SGD, PowStep": POW,
    "SGD, PowStep 2": POW_2,
    "SGD, ExpStep": EXP,
    "SGD, 4 states": FOUR,
    "Tiki-Taka": compounds.tiki_taka(**pair(SOFT)),
    "Tiki-Taka, PowStep": compounds.tiki_taka(**pair(POW)),
    "Tiki-Taka, PowStep 2": compounds.tiki_taka(**pair(POW_2)),
    "Tiki-Taka, ExpStep": compounds.tiki_taka(**pair(EXP)),
    "Tiki-Taka 2": compounds.ttv2(**pair(SOFT)),
    "Tiki-Taka 2, ExpStep": compounds.ttv2(**pair(EXP)),
    "Tiki-Taka 2, 4 states": compounds.ttv2(**pair(FOUR)),
    "c-TTv2": compounds.c_ttv2(**pair(SOFT)),
    "AGAD": compounds.agad(**pair(SOFT)),
    "mixed precision": compounds.MixedPrecision(device=SOFT),
    "mixed precision, ExpStep": compounds.MixedPrecision(device=EXP),
    "residual, 4 states": compounds.residual(devices=(FOUR,) * 6, warm_start=1.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--items", type=int, default=0, help="first items only; 0: all")
    parser.add_argument("--only", nargs="*", choices=CONTESTANTS, help="some of them")
    parser.add_argument("--json", help="write the figures to this file")
    options = parser.parse_args()
    table = {name: _row(name, options) for name in CONTESTANTS if not options.only or name in options.only}
    if options.json:
        Path(options.json).write_text(json.dumps(table, indent=1))


def _row(name: str, options: argparse.Namespace) -> list[float]:
    config = TileConfig(device=CONTESTANTS[name], mapping=Mapping(learn_out_scaling=True))
    layers = (flatten, AnalogLinear(256, config), jax.nn.sigmoid, AnalogLinear(128, config), jax.nn.sigmoid)
    model = Sequential(*layers, AnalogLinear(10, config), jax.nn.log_softmax)
    experiment = BasicTraining(
        dataset=FashionMNIST, model=model, batch_size=10, epochs=options.epochs, learning_rate=0.05
    )
    begun, reached = time.perf_counter(), []
    for seed in range(options.seeds):
        results = LocalRunner().run(experiment, options.items, stdout=False, seed=seed, progress=False)
        reached.append(100 * results[-1]["accuracy"])
    spread = statistics.stdev(reached) if len(reached) > 1 else 0.0
    seconds = (time.perf_counter() - begun) / len(reached)
    print(
        f"{name:26s} {statistics.mean(reached):6.2f} % +- {spread:.2f} "
        f"({', '.join(f'{one:.2f}' for one in reached)}), {seconds:.0f} s a run",
        flush=True,
    )
    return reached


if __name__ == "__main__":
    main()
