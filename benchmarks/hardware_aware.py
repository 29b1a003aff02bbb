"""How accurate is a network on programmed chips, trained in four ways? FashionMNIST, an MLP and LeNet-5.

    floating point    trained digitally, evaluated digitally
    mapped            the same weights, programmed
    hardware-aware    trained with weight noise on one chip, whose converters have constants of their own
    fresh chips       the same on new chips in every step

Each is read a second, an hour, a day and a year after programming, with and without drift compensation, on chips that
were not seen in training. "gap" is the accuracy on the chip of the training (its own converters) minus that on unseen
chips, both a second after programming.

    python benchmarks/hardware_aware.py [--networks mlp lenet] [--epochs 10] [--chips 100] [--items 10000] \
        [--json FILE [--plot FILE]]
"""

import argparse
import json
import time
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
import optax

from analogjax import BasicTraining, FashionMNIST, LocalRunner, nn
from analogjax.experiments import evaluate
from analogjax.physics import ADC, Crossbar, GlobalCompensation, PCMLike, Periphery
from analogjax.physics.hardware_aware import AddNormal, GaussianClip, LayerwiseRemap
from analogjax.tile import AwareTile, HardwareAware, Mapping

TIMES = (1.0, 3600.0, 86_400.0, 31_536_000.0)
# outputs of a chip differ in offset and saturation
CHIP = Periphery(adc=ADC(noise=0.04, nonlinearity=0.1, nonlinearity_std=0.5), crossbar=Crossbar(v_offset_std=0.01))
MAPPING = Mapping(weight_scaling_omega=1.0, learn_out_scaling=False)
NOISY = HardwareAware(
    forward=CHIP,
    mapping=MAPPING,
    modifier=AddNormal(std_dev=0.06),
    clip=GaussianClip(sigma=3.0),
    remap=LayerwiseRemap(),
)
KINDS = {
    "floating point": HardwareAware(forward=Periphery(is_perfect=True), mapping=MAPPING),
    "hardware-aware": NOISY,
    "fresh chips": replace(NOISY, fresh_chips=1),
}


POOL = partial(nn.max_pool, window=(2, 2))


def mlp(config: HardwareAware) -> Any:
    layer, act = nn.AnalogLinear, jax.numpy.tanh
    return nn.Sequential(
        nn.flatten, layer(512, config), act, layer(512, config), act, layer(10, config), jax.nn.log_softmax
    )


def lenet(config: HardwareAware) -> Any:
    conv, act = nn.AnalogConv2d, jax.numpy.tanh
    return nn.Sequential(
        conv(16, config, kernel_size=(5, 5)), act, POOL, conv(32, config, kernel_size=(5, 5)), act, POOL,
        nn.flatten, nn.AnalogLinear(128, config), act, nn.AnalogLinear(10, config), jax.nn.log_softmax,
    )  # fmt: skip


NETWORKS = {"mlp": mlp, "lenet": lenet}


def on_chips(variables: nn.Variables, config: HardwareAware) -> nn.Variables:
    """The same variables for layers of another configuration."""

    def moved(node: Any) -> Any:
        return replace(node, config=config) if isinstance(node, AwareTile) else node

    new = jax.tree.map(moved, variables.collections, is_leaf=lambda node: isinstance(node, AwareTile))
    return variables.replace(collections=new)


def trained(network: str, kind: str, epochs: int, seed: int) -> tuple[Any, float]:
    """Results of a training and the seconds of its epochs, the first (with compilation) apart."""
    steps = epochs * 938
    experiment = BasicTraining(
        FashionMNIST, NETWORKS[network](KINDS[kind]), batch_size=64, epochs=epochs, learning_rate=1e-3,
        optimizer=optax.adam(optax.cosine_decay_schedule(1e-3, steps)),
    )  # fmt: skip
    results = LocalRunner().run(experiment, seed=seed, stdout=False)
    return results, float(np.median([entry["time_epoch"] for entry in results[1:]] or [0.0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--chips", type=int, default=100)
    parser.add_argument("--items", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", help="append the rows to this file as JSON lines")
    parser.add_argument("--plot", help="plot all rows of that file, with error bars over the chips, to this one")
    given = parser.parse_args()
    print(f"{'':34}{'s/epoch':>8}{'1 s':>15}{'1 h':>15}{'1 d':>15}{'1 y':>15}{'gap':>7}")
    for network in given.networks:
        for kind in KINDS:
            results, seconds = trained(network, kind, given.epochs, given.seed)
            digital = kind == "floating point"
            if digital:
                print(f"{network:7}{kind:27}{seconds:8.2f}{100 * results[-1]['accuracy']:10.2f}", flush=True)
            config = NOISY if digital else KINDS[kind]
            rows(network, "mapped" if digital else kind, config, results.variables, seconds, given)
    if given.plot and given.json:
        plot(given.json, given.plot)


def rows(network: str, kind: str, config: HardwareAware, variables: nn.Variables, seconds: float, given: Any) -> None:
    """Print and keep what a trained network does on chips, with and without compensation."""
    model, own = NETWORKS[network](config), on_chips(variables, config)
    if kind == "mapped":
        fresh = nn.init(model, np.zeros((1, 28, 28, 1), np.float32), jax.random.key(given.seed))
        own = own.replace(collections=with_scales(fresh, own))
    for compensation in (GlobalCompensation(), None):
        begin = time.perf_counter()
        found = evaluate(
            model, own, FashionMNIST, chips=given.chips, times=TIMES, noise_model=PCMLike(), compensation=compensation,
            max_elements=given.items,
        )  # fmt: skip
        spent, mean, spread = time.perf_counter() - begin, found.accuracy.mean(0), found.accuracy.std(0, ddof=1)
        seen = evaluate(
            model, own, FashionMNIST, chips=max(2, given.chips // 5), times=TIMES[:1], noise_model=PCMLike(),
            compensation=compensation, fresh=False, max_elements=given.items,
        )  # fmt: skip
        gap = seen.accuracy.mean() - mean[0]
        name = kind if compensation else f"{kind}, uncompensated"
        cells = "".join(f"{100 * m:9.2f} +-{100 * s:4.2f}" for m, s in zip(mean, spread, strict=True))
        print(f"{network:7}{name:27}{seconds:8.2f}{cells}{100 * gap:7.2f}   ({spent:.0f} s)", flush=True)
        if given.json:
            row = {"network": network, "kind": kind, "compensated": compensation is not None, "times": TIMES,
                   "accuracy": mean.tolist(), "spread": spread.tolist(), "gap": float(gap), "s_epoch": seconds,
                   "chips": given.chips, "s_evaluate": spent}  # fmt: skip
            with open(given.json, "a") as file:
                file.write(json.dumps(row) + "\n")


def plot(source: str, path: str) -> None:
    """Accuracy over time of each network, compensated."""
    from matplotlib.figure import Figure

    with open(source) as file:
        found = [json.loads(line) for line in file]
    names = sorted({row["network"] for row in found}, reverse=True)
    figure = Figure(figsize=(4.5 * len(names), 3.5), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
        for row in (row for row in found if row["network"] == name and row["compensated"]):
            percent, spread = 100 * np.array(row["accuracy"]), 100 * np.array(row["spread"])
            axes.errorbar(row["times"], percent, spread, fmt="o-", capsize=3, label=row["kind"])
        axes.set(xscale="log", xlabel="time since programming [s]", ylabel="accuracy [%]", title=name)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def with_scales(fresh: nn.Variables, trained: nn.Variables) -> Any:
    """Collections of new chips whose output scales fit the trained weights."""
    collections = fresh.collections
    for name, own in trained.params.items():
        if "weight" in own:
            collections = nn.with_weights(collections, (name,), own["weight"])
    return collections


if __name__ == "__main__":
    main()
