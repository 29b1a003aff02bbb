"""Forward, backward and differentiated products of one weight matrix against aihwkit."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.physics import Periphery, SinglePair, TimedCrossbar
from analogjax.physics.converters import step_of
from analogjax.physics.periphery import mvm as physics_mvm
from analogjax.tile import Tile, TileConfig, create, mvm, slot_for
from compat.whole_batch import as_torch_tile
from tests.golden.catalog import Unsupported, cases, key_for, tile_config
from tests.golden.quirks import replays
from tests.golden.tolerance import Sample, Verdict, clustered, compare_exact, compare_mean, compare_std

GROUP = "mvm"
REPLAYED = 126  # of 126; a change of the translation must say so here
SEQUENTIAL = ()  # products have one evaluation
_INFERENCE = ("InferenceRPUConfig", "TorchInferenceRPUConfig", "TorchInferenceRPUConfigIRDropT")


def configured(case: dict) -> TileConfig:
    """The tile of a case; raises `Unsupported`."""
    config = case["config"]
    if config["class"] not in _INFERENCE:
        return tile_config(config)
    # nothing is programmed in this group: the material has no part in it, but for the conductances of one circuit
    parts = {name: value for name, value in config.items() if name not in ("noise_model", "drift_compensation")}
    exact = {"class": "IOParameters", "is_perfect": True}  # the default backward pass of these classes
    made = tile_config({"backward": exact} | parts | {"class": "SingleRPUConfig"})
    if isinstance(made.forward.crossbar, TimedCrossbar):
        circuit = _physical(made.forward.crossbar, config)
        made = replace(made, forward=replace(made.forward, crossbar=circuit))
    # the torch tile has habits of its own (reference, 2.1.9)
    plain = config["class"] == "InferenceRPUConfig"
    return made if plain else replace(made, forward=as_torch_tile(made.forward))


def _physical(p: TimedCrossbar, config: dict) -> TimedCrossbar:
    converter = config["noise_model"]["g_converter"]
    if converter["class"] != "SinglePairConductanceConverter":
        raise Unsupported(f"class {converter['class']}")
    pair = SinglePair(**{name: converter["attributes"][name] for name in ("g_max", "g_min")})
    return replace(p, g_converter=pair, phys_input_size=config.get("mapping", {}).get("max_input_size", 512))


def unsupported(case: dict) -> str | None:
    """Why a case cannot be replayed, or `None` if it can."""
    try:
        configured(case)
    except Unsupported as reason:
        return str(reason)
    return None


def supported(group: str) -> list[str]:
    """The names of the cases of a group that can be replayed."""
    return [name for name, case in cases(group).items() if unsupported(case) is None]


def replay(name: str, sequential: bool = False) -> Verdict:
    """Replay one case and compare it."""
    case = cases(GROUP)[name]
    config, verdict = configured(case), Verdict()
    if "analog_module.tile.weight" in case["observed"].get("grad_parameters", {}):
        _straight_through(verdict, case, config)
    elif "grad_output" in case["inputs"]:
        _differentiated(verdict, case, config)
    elif "value_by_call" in case["observed"]:
        _repeated_calls(verdict, case, config)
    elif case["observed"]["deterministic"]:
        ours = _products(config, *_arrays(case), 1, 1, key_for(case), case["inputs"]["direction"])[0, 0]
        compare_exact(verdict, "value", ours, case["observed"]["value"], _tie_slack(case, config))
        if "value_training" in case["observed"]:
            _without_drop(verdict, case, config)
    else:
        _noisy(verdict, case, config)
    return verdict


def _arrays(case: dict) -> tuple[jax.Array, jax.Array]:
    return jnp.asarray(case["inputs"]["W"]), jnp.asarray(case["inputs"]["input"])


@partial(jax.jit, static_argnums=(3, 4, 6))
def _products(
    config: TileConfig, w: jax.Array, x: jax.Array, tiles: int, reps: int, key: jax.Array, way: str
) -> jax.Array:
    """`[tiles, reps, B, O]` products (or `[..., I]` backwards) of freshly made chips."""

    def read(tile: Tile, key: jax.Array) -> jax.Array:
        return tile.forward(x, key)[0] if way == "forward" else tile.backward(x, None, key)

    def chip(key: jax.Array) -> jax.Array:
        k_make, k_read = jax.random.split(key)
        tile = create(config, w.shape, k_make, w)
        return jax.vmap(lambda key: read(tile, key))(jax.random.split(k_read, reps))

    return jax.vmap(chip)(jax.random.split(key, tiles))


def _without_drop(verdict: Verdict, case: dict, config: TileConfig) -> None:
    """aihwkit's training mode, in which the circuit is switched off."""
    without = replace(config.forward.crossbar, ir_drop=0.0)
    config = replace(config, forward=replace(config.forward, crossbar=without))
    ours = _products(config, *_arrays(case), 1, 1, key_for(case), "forward")[0, 0]
    compare_exact(verdict, "value_training", ours, case["observed"]["value_training"], _tie_slack(case, config))


def _noisy(verdict: Verdict, case: dict, config: TileConfig) -> None:
    inputs, observed = case["inputs"], case["observed"]
    n_tiles = 4 * inputs["n_tiles"]
    reps = case["reps"] // inputs["n_tiles"]
    values = np.asarray(_products(config, *_arrays(case), n_tiles, reps, key_for(case), inputs["direction"]))
    ours, reference = Sample(values.reshape(-1, *values.shape[2:])), observed["output"]
    se_mean, se_std = clustered(values)
    by_tile = observed["se_mean_by_tile"]
    compare_mean(verdict, "output", ours, reference, inputs["n_tiles"], se_mean, by_tile)
    # what is frozen per chip also makes the width differ from chip to chip, which the error given for it leaves out;
    # it is the same law, so ours tells it: four times the tiles, half the error
    se_ref = 2 * se_std if config.forward.adc.noise_std or config.backward.adc.noise_std else 0.0
    compare_std(verdict, "output", ours, reference, se_std, se_ref)


def _repeated_calls(verdict: Verdict, case: dict, config: TileConfig) -> None:
    w, x = _arrays(case)
    k_make, k_run = jax.random.split(key_for(case))
    tile = create(config, w.shape, k_make, w)
    for call, reference in enumerate(case["observed"]["value_by_call"]):
        ours, _ = tile.forward(x, jax.random.fold_in(k_run, call))
        compare_exact(verdict, f"call {call}", ours, reference)
        # `update` advances the running scale of a tile; here the weights must stay
        tile = replace(tile, average=config.forward.noise_management.average(x, tile.average)[-1])


def _differentiated(verdict: Verdict, case: dict, config: TileConfig) -> None:
    (w, x), observed = _arrays(case), case["observed"]
    k_make, k_read = jax.random.split(key_for(case))
    tile = create(config, w.shape, k_make, w)
    y, pull = jax.vjp(lambda x, slot: mvm(tile, x, slot, key=k_read), x, slot_for(tile, x))
    dx, signal = pull(jnp.asarray(case["inputs"]["grad_output"]))
    compare_exact(verdict, "output", y, observed["output"], _tie_slack(case, config))
    compare_exact(verdict, "grad_input", dx, observed["grad_input"])
    if "stored_update_x" in observed:
        compare_exact(verdict, "stored x", signal.x, observed["stored_update_x"])
        compare_exact(verdict, "stored d", signal.d, observed["stored_update_d"])
    else:
        compare_exact(
            verdict, "grad of the weights", signal.d.T @ signal.x, next(iter(observed["grad_parameters"].values()))
        )


def _straight_through(verdict: Verdict, case: dict, config: TileConfig) -> None:
    """The torch tile, which differentiates its forward product instead of having a backward one."""
    (w, x), observed = _arrays(case), case["observed"]
    y, pull = jax.vjp(lambda w, x: physics_mvm(config.forward, w, x, {}, key_for(case)), w, x)
    dw, dx = pull(jnp.asarray(case["inputs"]["grad_output"]))
    compare_exact(verdict, "output", y, observed["output"], _tie_slack(case, config))
    compare_exact(verdict, "grad_input", dx, observed["grad_input"])
    compare_exact(verdict, "grad of the weights", dw, observed["grad_parameters"]["analog_module.tile.weight"])


def _tie_slack(case: dict, config: TileConfig) -> np.ndarray | float:
    """One DAC level times |w| for each input half way between two levels that float32 cannot represent exactly.

    Where input and step are exact in float32 the tie is one for both libraries, and rounding half to even decides it.
    """
    backwards = case["inputs"].get("direction") == "backward"
    p: Periphery = config.backward if backwards else config.forward
    step = 0.0 if p.is_perfect else float(step_of(p.dac.res, p.dac.bound))
    if step <= 0 or p.noise_management is not None:
        return 0.0  # a scaled input is at a tie by chance only
    w, x = (np.asarray(case["inputs"][name], float) for name in ("W", "input"))
    exact = (np.float32(x) == x) & (np.float32(step) == step)
    tie = (np.abs(np.abs(x / step) % 1 - 0.5) < 1e-6) & ~exact
    return tie @ np.abs(w if backwards else w.T) * step


@pytest.mark.parametrize(("name", "sequential"), replays(GROUP, unsupported, 4))
def test_case(name: str, sequential: bool) -> None:
    replay(name, sequential).check()


def test_nothing_is_skipped_by_accident() -> None:
    assert len(supported(GROUP)) == REPLAYED
