"""Weight modifiers, clipping and remapping, input ranges and their calibration against aihwkit.

Configurations are translated by `compat`, so its views are replayed as well. The cases are those of two groups.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax._typing import Array
from analogjax.physics import MaxRange, MovingQuantileRange, MovingStdRange, Periphery, QuantileRange
from analogjax.physics.converters import clip as masked_clip
from analogjax.physics.periphery import mvm
from compat.aihwkit.simulator.parameters.enums import WeightClipType, WeightModifierType, WeightRemapType
from compat.aihwkit.simulator.parameters.inference import (
    WeightClipParameter,
    WeightModifierParameter,
    WeightRemapParameter,
)
from compat.aihwkit.simulator.parameters.pre_post import InputRangeParameter
from compat.whole_batch import as_torch_tile
from tests.golden.catalog import cases, key_for, tile_config
from tests.golden.tolerance import Sample, Verdict, compare_correlation, compare_exact, compare_mean, compare_std

GROUPS = ("inference", "periphery")
KINDS = ("modifier", "clip", "remap", "input", "calibration")
REPLAYED = 65  # all of these kinds
_ENUMS = {
    WeightModifierParameter: WeightModifierType, WeightClipParameter: WeightClipType,
    WeightRemapParameter: WeightRemapType,
}  # fmt: skip
_CLIPPED = 0.999  # of the range of the ADC: beyond it aihwkit takes an output for clipped


def replayed() -> dict[str, dict]:
    """The cases of these kinds by name."""
    both = {name: case for group in GROUPS for name, case in cases(group).items()}
    return {name: case for name, case in both.items() if name.split("_")[0] in KINDS}


def view(kind: Any, config: dict, name: str) -> Any:
    """compat's view of a part of a configuration."""
    given = {key: value for key, value in config.get(name, {}).items() if key != "class"}
    if kind in _ENUMS and "type" in given:
        given["type"] = _ENUMS[kind](given["type"])
    return kind(**given)


def replay(name: str) -> Verdict:
    """Replay one case and compare it."""
    case, verdict = replayed()[name], Verdict()
    kinds = {"modifier": _modified, "input": _ranged, "calibration": _calibrated}
    kinds.get(name.split("_")[0], _after_a_step)(verdict, case)
    return verdict


def _is_torch(case: dict) -> bool:
    return case["config"]["class"] == "TorchInferenceRPUConfig"


def _modified(verdict: Verdict, case: dict) -> None:
    parameter, observed = view(WeightModifierParameter, case["config"], "modifier"), case["observed"]
    modifier = parameter.to_torch_tile() if _is_torch(case) else parameter.to_native()
    w, reference = jnp.asarray(case["inputs"]["W"]), observed["seen_in_training"]
    if modifier is None:
        compare_exact(verdict, "seen in training", w, reference["mean"])
        return
    seen = np.asarray(_disturbed(modifier, w, 4 * case["reps"], key_for(case)))
    compare_mean(verdict, "seen in training", Sample(seen), reference, 1)
    compare_std(verdict, "seen in training", Sample(seen), reference)
    if observed["corr_of_first_two_elements"] is not None:
        first, second = seen[:, 0, 0], seen[:, 0, 1]
        compare_correlation(verdict, "first two", first, second, observed["corr_of_first_two_elements"], reference["n"])


@partial(jax.jit, static_argnums=2)
def _disturbed(modifier: Any, w: Array, reps: int, key: Array) -> Array:
    return jax.vmap(lambda key: modifier.modify(w, key))(jax.random.split(key, reps))


def _after_a_step(verdict: Verdict, case: dict) -> None:
    config, inputs, observed = case["config"], case["inputs"], case["observed"]
    w = jnp.asarray(inputs["W"])
    scale = jnp.asarray(inputs["scales_before"] or [1.0] * len(w))
    clip = view(WeightClipParameter, config, "clip").to_native()
    remap = view(WeightRemapParameter, config, "remap").to_native(one_scale=_is_torch(case))
    w = w if clip is None else clip.clip(w)
    w, scale = (w, scale) if remap is None else remap.remap(w, scale)
    compare_exact(verdict, "weights", w, observed["weights"])
    if "scales" in observed:
        compare_exact(verdict, "scales", scale, observed["scales"])


def _reading(case: dict) -> Periphery:
    parts = {name: value for name, value in case["config"].items() if name in ("forward", "device")}
    p = tile_config(parts | {"class": "SingleRPUConfig"}).forward
    return as_torch_tile(p) if _is_torch(case) else p


def _ranged(verdict: Verdict, case: dict) -> None:
    """A layer whose weights stay, in training mode."""
    inputs, observed = case["inputs"], case["observed"]
    p = InputRangeParameter(**_without_class(case["config"]["pre_post"]["input_range"])).to_native()
    w, rate = jnp.asarray(inputs["W"]), inputs["learning_rate"]
    step = _step_of_the_torch_tile if _is_torch(case) else _step
    r, seen = jnp.asarray(p.init_value, jnp.float32), jnp.zeros(())
    ranges, grads, outputs = [], [], []
    for x, d in zip(jnp.asarray(inputs["x"]), jnp.asarray(inputs["grad_output"]), strict=True):
        r, seen = p.from_data(x, r, seen)
        y, dr = step(p, _reading(case), w, x, r, d, key_for(case))
        ranges.append([float(r), float(r - rate * dr)])
        grads.append(float(dr))
        outputs.append(y)
        r = r - rate * dr
    compare_exact(verdict, "range", ranges, observed["range"])
    if p.learn:  # of a range that is not learned aihwkit adds up gradients that nobody reads
        compare_exact(verdict, "gradient", grads, observed["input_range_grad"])
    n = len(observed["first_outputs"])
    compare_exact(verdict, "outputs", jnp.stack(outputs[:n]), observed["first_outputs"])


def _without_class(config: dict) -> dict:
    return {name: value for name, value in config.items() if name != "class"}


@jax.jit
def _step(p: Any, reading: Periphery, w: Array, x: Array, r: Array, d: Array, key: Array) -> tuple[Array, Array]:
    """Outputs and gradient of the range; backwards the product is exact, and clipped outputs pass nothing."""
    y = mvm(reading, w, p.limit(x, r) / r, {}, key)
    bound = reading.adc.bound * reading.adc.scale
    clipped = jnp.abs(y) >= _CLIPPED * bound if bound > 0 and not reading.is_perfect else jnp.zeros(y.shape, bool)
    dx = jnp.where(clipped, 0.0, d) @ w
    # aihwkit counts the clipped outputs relative to the number of inputs
    return r * y, p.gradient(x, dx, r, 1 - jnp.sum(clipped) / x.size)


@jax.jit
def _step_of_the_torch_tile(
    p: Any, reading: Periphery, w: Array, x: Array, r: Array, d: Array, key: Array
) -> tuple[Array, Array]:
    """Everything is differentiated, the division by the range and the product with it too."""

    def read(r: Array) -> Array:
        within = p.limit(masked_clip(x, jax.lax.stop_gradient(r)), r)
        return r * mvm(reading, w, within / r, {}, key)

    y, back = jax.vjp(read, r)
    return y, back(d)[0]


def _calibrated(verdict: Verdict, case: dict) -> None:
    """Two layers; what the first one sees moves its range before it answers."""
    inputs, weights = case["inputs"], [jnp.asarray(case["inputs"][name]) for name in ("W1", "W2")]
    start = InputRangeParameter(enable=True).to_native().init_value
    moving = inputs["calibration_type"].startswith("Moving")
    estimators = [_estimator(inputs, start) for _ in weights]
    for n, x in enumerate(jnp.asarray(inputs["x"])):
        for layer, w in enumerate(weights):
            key = jax.random.fold_in(key_for(case), 2 * n + layer)
            estimators[layer] = estimators[layer].observe(x, key)
            r = estimators[layer].value() if moving else start
            x = jnp.clip(x, -r, r) @ w.T
    compare_exact(verdict, "ranges", [float(one.value()) for one in estimators], case["observed"]["input_ranges"])


def _estimator(inputs: dict, start: float) -> Any:
    quantile, kind = inputs["quantile"], inputs["calibration_type"]
    return {
        "Max": lambda: MaxRange(),
        "CacheQuantile": lambda: QuantileRange(quantile=quantile, max_samples=inputs["max_samples"]),
        "MovingQuantile": lambda: MovingQuantileRange(quantile=quantile),
        "MovingStd": lambda: MovingStdRange(alpha=inputs["std_alpha"] or 3.0),
    }[kind]()


@pytest.mark.parametrize("name", replayed())
def test_case(name: str) -> None:
    replay(name).check()


def test_nothing_is_skipped_by_accident() -> None:
    assert len(replayed()) == REPLAYED
