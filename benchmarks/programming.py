"""How well do training algorithms find given weights on devices of few states, and what does a wrong reference cost?

A linear layer 20x20 learns a fixed target from random inputs, d = (W - W*) x, one vector at a time; devices are
SoftBoundsReference with 20 states, whose reference is their symmetry point plus an error of deviation sigma_r. Printed
is the root mean square weight error over the deviation of the target, in percent, over `--chips` chips (mean and
standard error). The pattern of Rasch et al. 2024, doi:10.1038/s41467-024-51221-z, figures 4 and 5: SGD above 25 %,
TTv2 near 5 % and worse with sigma_r, c-TTv2 much less so, AGAD not at all.

    python benchmarks/programming.py [--chips 16] [--vectors 40000]
"""

import argparse
import time

import jax
import jax.numpy as jnp

from analogjax import random
from analogjax.physics import Periphery, Pulses, compounds, devices
from analogjax.tile import Signal, Tile, TileConfig, create, update

SIZE, SIGMAS = 20, (0.0, 0.1, 0.25, 0.5)
READ = Periphery(is_perfect=True)
SHORT = Pulses(desired_bl=5)
CHOPPED = {"auto_scale": True, "fast_lr": 0.1, "transfer_forward": READ}


def device(sigma: float) -> devices.SoftBoundsReference:
    return devices.SoftBoundsReference(
        dw_min=0.1, w_max=1.0, w_min=-1.0, up_down_dtod=0.05, dw_min_dtod=0.3, dw_min_std=0.3, w_max_dtod=0.1,
        w_min_dtod=0.1, subtract_symmetry_point=True, reference_std=sigma,
    )  # fmt: skip


def algorithms(sigma: float) -> dict[str, TileConfig]:
    pair = {"devices": (device(sigma), device(0.0))}
    ttv2 = {"in_chop_prob": 0.0, "transfer_forward": READ, "fast_lr": 1.0, "scale_fast_lr": True}
    found = {
        "SGD": device(sigma),
        "TTv1": compounds.Transfer(**pair, transfer_forward=READ, units_in_mbatch=False),
        "TTv2": compounds.ChoppedTransfer(**pair, **ttv2),
        "c-TTv2": compounds.ChoppedTransfer(**pair, **CHOPPED),
        "AGAD": compounds.DynamicTransfer(**pair, **CHOPPED),
    }
    return {name: TileConfig(device=one, update=SHORT, forward=READ) for name, one in found.items()}


def error(config: TileConfig, vectors: int, rate: float, key: jax.Array) -> jax.Array:
    """The weight error of one chip after so many vectors. Consumes `key`."""
    k_target, k_make, k_run = jax.random.split(key, 3)
    target = jnp.clip(0.3 * jax.random.normal(k_target, (SIZE, SIZE)), -0.6, 0.6)
    tile = create(config, (SIZE, SIZE), k_make, jnp.zeros((SIZE, SIZE)))

    def step(n: jax.Array, tile: Tile) -> Tile:
        k_x, k_update = jax.random.split(jax.random.fold_in(k_run, n))
        x = jax.random.uniform(k_x, (1, SIZE), minval=-1, maxval=1)
        d = x @ (tile.read() - target).T
        return update(tile, Signal(x=x, d=d), rate, key=k_update)

    tile = jax.lax.fori_loop(0, vectors, step, tile)
    return jnp.sqrt(jnp.mean((tile.read() - target) ** 2)) / jnp.std(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chips", type=int, default=16)
    parser.add_argument("--vectors", type=int, default=40_000)
    parser.add_argument("--rate", type=float, default=0.05)
    options = parser.parse_args()
    print(f"{'sigma_r':10s}" + "".join(f"{sigma:>18g}" for sigma in SIGMAS))
    for name in algorithms(0.0):
        begun, cells = time.perf_counter(), []
        for sigma in SIGMAS:
            config = algorithms(sigma)[name]
            keys = jax.random.split(random.key(0), options.chips)
            found = 100 * jax.jit(jax.vmap(lambda key, c=config: error(c, options.vectors, options.rate, key)))(keys)
            cells.append(f"{float(found.mean()):10.1f} +- {float(found.std() / options.chips**0.5):4.1f}")
        print(
            f"{name:10s}" + "".join(f"{cell:>18s}" for cell in cells) + f"   {time.perf_counter() - begun:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
