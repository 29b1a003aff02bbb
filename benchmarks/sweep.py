"""A sweep in one compiled call against the same runs one by one: 3 learning rates x 4 seeds x 4 chips on Digits.

Seconds of the whole, the peak of memory of each process, and how many runs end with the same bits.

    python benchmarks/sweep.py [--epochs 5] [--seeds 4] [--rates 3] [--chips 4] [--at-once 1] [--json FILE]
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import jax
import numpy as np

from analogjax import AnalogLinear, BasicTraining, Digits, LocalRunner, Sequential
from analogjax.experiments import sweep
from analogjax.nn import flatten

RATES = (0.02, 0.05, 0.1, 0.2)


def experiment(epochs: int, rate: float = 0.05) -> BasicTraining:
    model = Sequential(flatten, AnalogLinear(32), jax.nn.sigmoid, AnalogLinear(10), jax.nn.log_softmax)
    return BasicTraining(Digits, model, batch_size=8, epochs=epochs, learning_rate=rate)


def digest(results: list) -> list:
    weights = [float(np.asarray(leaf, np.float64).sum()) for leaf in jax.tree.leaves(results.variables)]
    return [[{k: v for k, v in entry.items() if k != "time_epoch"} for entry in results], weights]


def one_by_one(given: argparse.Namespace) -> list:
    found = []
    for rate in RATES[: given.rates]:
        own = experiment(given.epochs, rate)
        for seed in range(given.seeds):
            found += [digest(LocalRunner().run(own, seed=seed, chip=chip, stdout=False)) for chip in range(given.chips)]
    return found


def together(given: argparse.Namespace) -> list:
    axes = {"learning_rate": RATES[: given.rates], "seed": range(given.seeds), "chip": range(given.chips)}
    return [digest(run.results) for run in sweep(experiment(given.epochs), axes, at_once=given.at_once, progress=False)]


KINDS = {"together": together, "one by one": one_by_one}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("epochs", 5), ("seeds", 4), ("rates", 3), ("chips", 4), ("at-once", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", help="append the rows to this file as JSON lines")
    parser.add_argument("--kind", choices=list(KINDS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.kind:
        begun = time.perf_counter()
        found = KINDS[given.kind](given)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": time.perf_counter() - begun, "MiB": memory, "found": found}))
        return
    rows = {}
    for kind in KINDS:
        asked = [sys.executable, __file__, *sys.argv[1:], "--kind", kind]
        rows[kind] = json.loads(subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True).stdout)
    pairs = list(zip(*(rows[kind].pop("found") for kind in KINDS), strict=True))
    same = sum(a == b for a, b in pairs)
    near = max(abs(a[0][-1]["train_loss"] - b[0][-1]["train_loss"]) for a, b in pairs)
    for kind, row in rows.items():
        print(f"{kind:12} {row['seconds']:8.2f} s {row['MiB']:8.0f} MiB")
        if given.json:
            with open(given.json, "a") as out:
                out.write(json.dumps({"runs": len(pairs), "kind": kind, "at_once": given.at_once, **row}) + "\n")
    print(f"{same} of {len(pairs)} runs are equal to the bit; largest difference of a last loss {near:.2g}")


if __name__ == "__main__":
    main()
