"""How well do training algorithms find given weights on devices of 20 states, and what does a wrong reference cost?

A linear layer 20x20 learns a fixed target from random inputs, d = (W - W*) x, one vector at a time. Devices are
SoftBoundsReference between -1 and 1, whose reference is their symmetry point plus an error of deviation sigma_r. Their
spreads are those of Rasch et al. 2024, doi:10.1038/s41467-024-51221-z, figure 4: 0.3 of steps, noise and bounds (0 for
the bounds of the array that holds the weight), 0.1 of up against down. Printed is the deviation of the weights from
their target in percent of the bound, as there; mean and standard error over `--chips` chips.

Figure 4's pattern: SGD above 25 %; TTv2 5 %, and 9 % or more with sigma_r; c-TTv2 holds, and AGAD does not care.
Figure 6's, the second table: wider bounds make the first array's steps more alike. TTv2 and c-TTv2 need the difference,
AGAD does not.

    python benchmarks/programming.py [--chips 8] [--vectors 20000]
"""

import argparse
import time
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from analogjax import random
from analogjax.physics import Periphery, Pulses, compounds, devices
from analogjax.tile import Signal, Tile, TileConfig, create, update

SIZE, SIGMAS, BOUNDS = 20, (0.0, 0.1, 0.25, 0.5), (1.0, 2.0, 5.0, 20.0)
READ = Periphery(is_perfect=True)
SHORT = Pulses(desired_bl=5)


def device(sigma_r: float = 0.0, bound: float = 1.0, spread: float = 0.3) -> devices.SoftBoundsReference:
    return devices.SoftBoundsReference(
        dw_min=0.1, w_max=bound, w_min=-bound, up_down_dtod=0.1, dw_min_dtod=0.3, dw_min_std=0.3, w_max_dtod=spread,
        w_min_dtod=spread, subtract_symmetry_point=True, reference_std=sigma_r,
    )  # fmt: skip


def algorithms(sigma_r: float = 0.0, bound: float = 1.0) -> dict[str, TileConfig]:
    two: dict[str, Any] = {"devices": (device(sigma_r, bound), device(spread=0.0)), "transfer_forward": READ}
    scaled: dict[str, Any] = two | {"auto_scale": True, "fast_lr": 0.1}
    found = {
        "SGD": device(sigma_r, spread=0.0),
        "TTv1": compounds.tiki_taka(**two, units_in_mbatch=False),
        "TTv2": compounds.c_ttv2(**scaled, in_chop_prob=0.0),
        "c-TTv2": compounds.c_ttv2(**scaled, in_chop_random=False),
        "AGAD": compounds.agad(**scaled),
    }
    return {name: TileConfig(device=one, update=SHORT, forward=READ) for name, one in found.items()}


def error(config: TileConfig, vectors: int, rate: float, key: jax.Array) -> jax.Array:
    """The deviation of one chip's weights from their target after so many vectors [w]. Consumes `key`."""
    k_target, k_make, k_run = jax.random.split(key, 3)
    target = jnp.clip(0.3 * jax.random.normal(k_target, (SIZE, SIZE)), -0.6, 0.6)
    tile = create(config, (SIZE, SIZE), k_make, jnp.zeros((SIZE, SIZE)))

    def step(n: jax.Array, tile: Tile) -> Tile:
        k_x, k_update = jax.random.split(jax.random.fold_in(k_run, n))
        x = jax.random.uniform(k_x, (1, SIZE), minval=-1, maxval=1)
        d = x @ (tile.read() - target).T
        return update(tile, Signal(x=x, d=d), rate, key=k_update)

    tile = jax.lax.fori_loop(0, vectors, step, tile)
    return jnp.std(tile.read() - target)


def errors(config: TileConfig, chips: int, vectors: int, rate: float) -> jax.Array:
    """The deviation `[chips]`; all algorithms learn the same targets from the same inputs."""
    keys = jax.random.split(random.key(0), chips)
    return jax.jit(jax.vmap(lambda key: error(config, vectors, rate, key)))(keys)


def _table(title: str, values: Iterable[float], names: Iterable[str], found: Callable[[str, float], jax.Array]) -> None:
    print(f"{title:10s}" + "".join(f"{value:>18g}" for value in values))
    for name in names:
        begun, cells = time.perf_counter(), []
        for value in values:
            percent = 100 * found(name, value)
            cells.append(f"{percent.mean():10.1f} +- {percent.std() / len(percent) ** 0.5:4.1f}")
        row = "".join(f"{cell:>18s}" for cell in cells)
        print(f"{name:10s}{row}   {time.perf_counter() - begun:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chips", type=int, default=8)
    parser.add_argument("--vectors", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=0.02)
    options = parser.parse_args()
    run = options.chips, options.vectors, options.rate
    _table("sigma_r", SIGMAS, algorithms(), lambda name, sigma_r: errors(algorithms(sigma_r)[name], *run))
    print()
    needing = ("TTv2", "c-TTv2", "AGAD")
    _table("bound", BOUNDS, needing, lambda name, bound: errors(algorithms(bound=bound)[name], *run))


if __name__ == "__main__":
    main()
