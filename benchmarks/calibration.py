"""How many pulses does zero-shifting need? The smallest number for 1 % error of the mean symmetry point, over dw_min.

64x64 soft-bounds devices whose steps up and down differ, from weights of 0, pulsed UP and DOWN in turn; the error is
that of the mean over all devices and the last two pulses, relative to the mean symmetry point. The law is a slope of -1
in logarithms. Compare figure 1 of arXiv:2602.21321.

    python benchmarks/calibration.py [--json FILE]
"""

import argparse
import json
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from analogjax import random
from analogjax.physics import SoftBounds

SHAPE, GOAL, MOST = (64, 64), 0.01, 10_000_000
STEPS = (5e-3, 2e-3, 1e-3, 5e-4, 2e-4, 1e-4, 5e-5, 2e-5)


@jax.jit
def pulses_needed(dw_min: jax.Array, key: jax.Array) -> jax.Array:
    """The smallest even number of alternating pulses after which the mean is within `GOAL` of the symmetry point."""
    device = SoftBounds(dw_min=dw_min, up_down=0.3)
    k_make, k_write, k_pulse = jax.random.split(key, 3)
    cells = device.fabricate(SHAPE, jnp.float32, k_make)
    up, down = cells["dwmin_up"], cells["dwmin_down"]
    point = jnp.mean((up - down) / (up / cells["max_bound"] - down / cells["min_bound"]))

    def far(carry: tuple) -> jax.Array:
        n, _, middle = carry
        return (jnp.abs(middle - point) > GOAL * jnp.abs(point)) & (n < MOST)

    def pair(carry: tuple) -> tuple:
        n, state, _ = carry
        high = device.pulse(cells, state, jnp.full(SHAPE, 1, jnp.int8), jax.random.fold_in(k_pulse, n))
        low = device.pulse(cells, high, jnp.full(SHAPE, -1, jnp.int8), jax.random.fold_in(k_pulse, n + 1))
        return n + 2, low, jnp.mean((high.w + low.w) / 2)

    start = device.write(cells, jnp.zeros(SHAPE), k_write)
    return jax.lax.while_loop(far, pair, (jnp.int32(0), start, jnp.mean(start.w)))[0]


def main() -> None:
    """Print the numbers and the slope."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options, begun = parser.parse_args(), time.perf_counter()
    numbers = [int(pulses_needed(jnp.float32(dw_min), random.key(0))) for dw_min in STEPS]
    for dw_min, number in zip(STEPS, numbers, strict=True):
        print(f"dw_min {dw_min:7.1e}  pulses {number:8d}  pulses * dw_min {number * dw_min:6.3f}")
    slope = float(np.polyfit(np.log(STEPS), np.log(numbers), 1)[0])
    print(f"slope {slope:.4f}   {time.perf_counter() - begun:.1f} s")
    if options.json:
        options.json.write_text(json.dumps({"dw_min": STEPS, "pulses": numbers, "slope": slope}))


if __name__ == "__main__":
    main()
