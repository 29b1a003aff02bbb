"""The devices of aihwkit's presets: single pulses, and a batch of the preset's own trains applied again and again."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.physics import presets
from analogjax.tile import Signal, Tile, TileConfig, create, update
from tests.golden.catalog import cases, key_for, tile_config
from tests.golden.cells import any_config, supported, unsupported
from tests.golden.quirks import replays
from tests.golden.test_pulse_response import trajectory
from tests.golden.tolerance import Sample, Verdict, clustered, compare_mean, compare_std

GROUP = "device_presets"
REPLAYED = 22  # of 22
TILES = 64  # of ours, four times those of the reference

OURS = {
    "ReRamES": presets.RERAM_ES,
    "Capacitor": presets.CAPACITOR,
    "EcRam": presets.EC_RAM,
    "GokmenVlasov": presets.GOKMEN_VLASOV,
    "ReRamArrayOM": presets.RERAM_ARRAY_OM,
}
# Updates pulse by pulse: exact, whatever the size of the steps
SEQUENTIAL = tuple(
    name for name in supported(GROUP)
    if name.endswith("_regular_update") and cases(GROUP)[name]["config"].get("preset_of") == "SingleRPUConfig"
)  # fmt: skip


def replay(name: str, sequential: bool = False) -> Verdict:
    """Replay one case and compare it."""
    case = cases(GROUP)[name]
    config = any_config(case["config"])
    config = replace(config, update=replace(config.update, sequential=sequential))
    return trajectory(case, config, share=True) if "segments" in case["inputs"] else _updates(case, config)


def _updates(case: dict, config: TileConfig) -> Verdict:
    inputs, observed, n = case["inputs"], case["observed"], case["inputs"]["n_tiles"]
    signal = Signal(x=jnp.asarray(inputs["x"]), d=jnp.asarray(inputs["d"]))
    weights = jnp.full(inputs["shape_out_in"], inputs["w_start"])
    keys, rate = jax.random.split(key_for(case), TILES), jnp.asarray(inputs["learning_rate"])
    seen = [_weights(config, weights, signal, keys, tuple(observed["update"]), rate)]
    w = np.concatenate(seen).reshape(TILES, len(observed["update"]), -1).transpose(0, 2, 1)
    verdict, (se_mean, se_std) = Verdict(), clustered(w)
    reference = {name: observed[name] for name in ("mean", "std", "se_mean", "se_std")}
    ours = Sample(w.reshape(-1, w.shape[-1]))
    compare_mean(verdict, "w", ours, reference, n, se_ours=se_mean)
    compare_std(verdict, "w", ours, reference, se_ours=se_std)
    gradient = np.asarray(inputs["d"]).T @ np.asarray(inputs["x"])
    for k, update_count in enumerate(observed["update"]):
        moved = w[:, :, k] - w[:, :, 0]
        for what, measure in (("projection", _projection), ("correlation", _correlation)):
            if observed[what][k] is not None:
                values = Sample(np.array([measure(move, -gradient.ravel()) for move in moved]))
                compare_mean(verdict, f"{what} after {update_count}", values, observed[what][k], n)
    return verdict


def _projection(move: np.ndarray, direction: np.ndarray) -> float:
    return float(move @ direction / (direction @ direction))


def _correlation(move: np.ndarray, direction: np.ndarray) -> float:
    return 0.0 if np.ptp(move) == 0 else float(np.corrcoef(move, direction)[0, 1])


@partial(jax.jit, static_argnums=4, compiler_options={"xla_llvm_disable_expensive_passes": True})
def _weights(config: TileConfig, w: jax.Array, signal: Signal, keys: jax.Array, counts: tuple, rate: jax.Array):
    """The visible weights `[T, C, O, I]` of fresh tiles, after each of the `counts` of updates and rests."""

    def one(key: jax.Array) -> jax.Array:
        k_make, k_run = jax.random.split(key)
        tile = create(config, w.shape, k_make, w)
        seen = []
        for start, stop in zip((0, *counts), counts, strict=False):
            tile = jax.lax.fori_loop(start, stop, partial(_step, signal, rate, k_run), tile)
            seen.append(tile.state.w)
        return jnp.stack(seen)

    return jax.vmap(one)(keys)


def _step(signal: Signal, rate: jax.Array, key: jax.Array, i: jax.Array, tile: Tile) -> Tile:
    k_update, k_rest = jax.random.split(jax.random.fold_in(key, i))
    return update(tile, signal, rate, key=k_update).rest(k_rest)


QUICK = ("Capacitor_population", "CapacitorPreset_regular_update")  # ReRam needs half a minute of a processor


@pytest.mark.parametrize(("name", "sequential"), replays(GROUP, unsupported, always=QUICK, one_by_one=SEQUENTIAL))
def test_case(name: str, sequential: bool) -> None:
    replay(name, sequential).check()


@pytest.mark.parametrize("name", OURS)
def test_our_preset_has_the_values_of_the_case(name: str) -> None:
    assert tile_config(cases(GROUP)[f"{name}_population"]["config"]).device == OURS[name]


def test_nothing_is_skipped_by_accident() -> None:
    assert len(supported(GROUP)) == REPLAYED
