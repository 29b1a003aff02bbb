"""Programming, drift, reads, conductance converters and drift compensation against aihwkit.

The group also has weight modifiers, clipping and remapping, which `test_hardware_aware` replays.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.physics import (
    Compensation,
    Converter,
    CustomPairs,
    DriftTable,
    ExactReference,
    Fusion,
    GlobalCompensation,
    Hermes,
    Material,
    NPairs,
    PCMLike,
    PerColumnCompensation,
    ReRAMCMO,
    ReRAMWan2022,
    SingleDevice,
    SinglePair,
    StateIndependent,
)
from analogjax.tile import TileConfig, create, drift, program
from tests.golden.catalog import Unsupported, cases, key_for, tile_config
from tests.golden.quirks import replays
from tests.golden.tolerance import (
    Sample,
    Verdict,
    clustered,
    compare_exact,
    compare_mean,
    compare_quantiles,
    compare_std,
)  # fmt: skip

GROUP = "inference"
ELSEWHERE = ("modifier", "clip", "remap")  # kinds of cases that another file replays
REPLAYED = 32  # of 78, of which 46 are replayed elsewhere; a change of the translation must say so here
SEQUENTIAL = ()  # there is one evaluation

_CONVERTERS = {
    "SinglePairConductanceConverter": SinglePair,
    "DualPairConductanceConverter": NPairs,
    "NPairConductanceConverter": NPairs,
    "CustomPairConductanceConverter": CustomPairs,
    "SingleDeviceConductanceConverter": SingleDevice,
    "FusionConductanceConverter": Fusion,
}
_MODELS = {
    "PCMLikeNoiseModel": PCMLike,
    "CustomDriftPCMLikeNoiseModel": PCMLike,
    "StateIndependentNoiseModel": StateIndependent,
    "HermesNoiseModel": Hermes,
    "ReRamWan2022NoiseModel": ReRAMWan2022,
    "ReRamCMONoiseModel": ReRAMCMO,
}
_COMPENSATIONS = {
    "GlobalDriftCompensation": GlobalCompensation(),
    "GlobalDriftCompensationWithExactReference": ExactReference(),
    "PerColumnDriftCompensation": PerColumnCompensation(),
}
_TILES = ("InferenceRPUConfig", "TorchInferenceRPUConfig")


def converter(config: dict) -> Converter:
    """Our converter; raises `Unsupported`."""
    if config["class"] not in _CONVERTERS:
        raise Unsupported(f"class {config['class']}")
    kind, given = _CONVERTERS[config["class"]], {k: v for k, v in config["attributes"].items() if k != "scale_ratio"}
    if kind is CustomPairs:
        given["g_lst"] = tuple(map(tuple, given["g_lst"]))
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def noise_model(config: dict) -> Material:
    """Our noise model; raises `Unsupported`."""
    if config["class"] not in _MODELS:
        raise Unsupported(f"class {config['class']}")
    kind, given = _MODELS[config["class"]], dict(config["attributes"])
    if kind is ReRAMWan2022:
        table = {float(t): tuple(values) for t, values in given.pop("coeff_dic").items()}
        given.pop("prog_coeff_g_max_reference", None)  # aihwkit computes with the other one
        given |= {"times": tuple(sorted(table)), "coefficients": tuple(table[t] for t in sorted(table))}
    if kind is ReRAMCMO:
        given = _of_cmo(given)
    if table := given.pop("custom_drift_model", None):
        names = {"g": "g_lst", "nu_mean": "nu_mean_lst", "nu_std": "nu_std_lst"}
        given["exponents"] = DriftTable(**{ours: tuple(table[theirs]) for ours, theirs in names.items()})
    if "prog_coeff" in given:
        given["prog_coeff"] = tuple(given["prog_coeff"])
    return kind(g_converter=converter(config["g_converter"]), **given)


def _of_cmo(given: dict) -> dict:
    """Fields of `ReRAMCMO`; of aihwkit's polynomials the one of its acceptance range, else of the smallest."""
    table = {float(name): tuple(values) for name, values in given["coeff_dict"].items()}
    std = given["decay_dict"]["std"]
    return {name: given[name] for name in ("prog_noise_scale", "read_noise_scale", "drift_scale")} | {
        "prog_coeff": table.get(float(given["acceptance_range"]), table[min(table)]),
        "decay_mean": given["decay_dict"]["mean"][0], "decay_std_slope": std[0], "decay_std": std[1],
        "read_coeff": given["read_dict"]["K"], "t_read": given["read_dict"]["t_read"],
    }  # fmt: skip


def compensated_tile(config: dict) -> tuple[TileConfig, Material, Compensation | None]:
    """Tile, material and compensation of a tile for inference; raises `Unsupported`."""
    compensation = config["drift_compensation"]
    if compensation is not None and compensation["class"] not in _COMPENSATIONS:
        raise Unsupported(f"class {compensation['class']}")
    if config["class"] not in _TILES:
        raise Unsupported(f"class {config['class']}")
    parts = {name: value for name, value in config.items() if name not in ("noise_model", "drift_compensation")}
    chosen = None if compensation is None else _COMPENSATIONS[compensation["class"]]
    return tile_config(parts | {"class": "SingleRPUConfig"}), noise_model(config["noise_model"]), chosen


def unsupported(case: dict) -> str | None:
    """Why a case cannot be replayed, or `None` if it can."""
    kind = case["case"].split("_")[0]
    if kind in ELSEWHERE:
        return f"{kind}: tests/golden/test_hardware_aware.py"
    read = {"converter": converter, "compensation": compensated_tile}.get(kind, noise_model)
    try:
        read(case["config"])
    except Unsupported as reason:
        return str(reason)
    return None


@cache
def supported() -> list[str]:
    """The names of the cases that can be replayed."""
    return [name for name, case in cases(GROUP).items() if unsupported(case) is None]


def replay(name: str, sequential: bool = False) -> Verdict:
    """Replay one case and compare it."""
    case, verdict = cases(GROUP)[name], Verdict()
    kind = name.split("_")[0]
    {"converter": _converted, "compensation": _compensated}.get(kind, _programmed)(verdict, case)
    return verdict


def _converted(verdict: Verdict, case: dict) -> None:
    ours, observed = converter(case["config"]), case["observed"]
    g, back = ours.conductances(jnp.asarray(case["inputs"]["weights"]))
    theirs = np.asarray(observed["conductances"])
    compare_exact(verdict, "conductances", g, theirs.reshape(-1, *theirs.shape[-2:]))
    if "scale_ratio" in observed["params"]:
        ratio, *offset = back if isinstance(back, tuple) else (back,)
        compare_exact(verdict, "ratio", ratio, observed["params"]["scale_ratio"])
        for value in offset:
            compare_exact(verdict, "smallest weight", value, observed["params"]["min"])
    compare_exact(
        verdict, "weights back", ours.weights(g, back), np.asarray(observed["weights_back"]).reshape(g.shape[1:])
    )


@partial(jax.jit, static_argnums=3)
def _histories(model, w, times, reps, key):
    """Programmed weights and exponents, and two reads at each time, of `reps` chips."""

    def chip(key):
        k_program, k_first, k_second = jax.random.split(key, 3)
        programmed = model.program(w, k_program)

        def read(key):
            return jax.vmap(lambda t, key: model.drift(programmed, t, key))(times, jax.random.split(key, len(times)))

        return programmed, read(k_first), read(k_second)

    return jax.vmap(chip)(jax.random.split(key, reps))


def _programmed(verdict: Verdict, case: dict) -> None:
    inputs, observed, reps = case["inputs"], case["observed"], case["reps"]
    w = jnp.repeat(jnp.asarray(inputs["target_weights"])[:, None], inputs["columns_per_target"], axis=1)
    times = jnp.asarray(inputs["t_inference_s"])
    programmed, first, second = _histories(noise_model(case["config"]), w, times, reps, key_for(case))
    _compare(verdict, "programmed", np.asarray(programmed.w), observed["programmed"], reps)
    largest = Sample(np.abs(programmed.w).max((1, 2)))
    compare_mean(verdict, "largest", largest, observed["max_abs_programmed"], reps)
    compare_std(verdict, "largest", largest, observed["max_abs_programmed"])
    for n, t in enumerate(inputs["t_inference_s"]):
        reference = observed["drifted"][str(t)]
        _compare(verdict, f"at {t:g} s", np.asarray(first[:, n]), reference, reps)
        _compare_reads(verdict, f"at {t:g} s", np.asarray(first[:, n] - second[:, n]), reference["read_std"])
    for k, reference in enumerate(observed.get("nu_by_slice", ())):
        # it comes without standard errors: theirs are those of as many draws of ours
        sample = Sample(_columns(programmed.memory[:, k]))
        errors = {"se_mean": sample.se_mean, "se_std": sample.se_std}
        compare_mean(verdict, f"nu of slice {k}", sample, reference | errors, reps)
        compare_std(verdict, f"nu of slice {k}", sample, reference | errors)


def _columns(values) -> np.ndarray:
    """`[R, targets, columns] -> [R columns, targets]`."""
    values = np.asarray(values)
    return values.transpose(0, 2, 1).reshape(-1, values.shape[1])


def _compare(verdict: Verdict, what: str, values: np.ndarray, reference: dict, reps: int) -> None:
    ours = Sample(_columns(values))
    # the columns of one chip share the largest weight, by which all are scaled
    tiles = values.transpose(0, 2, 1)
    se_mean, se_std = clustered(tiles)
    compare_mean(verdict, what, ours, reference, reps, se_mean)
    compare_std(verdict, what, ours, reference, se_std)
    compare_quantiles(verdict, what, ours, reference, ours.n, tiles)


def _compare_reads(verdict: Verdict, what: str, differences: np.ndarray, reference: list) -> None:
    """`read_std`: root of half the mean square; theirs has the same error as ours, for it has as many reads."""
    squares = Sample(_columns(differences) ** 2 / 2)
    std = np.sqrt(squares.mean)
    error = squares.se_mean / (2 * np.maximum(std, 1e-30))
    verdict.add(f"{what} read std", std, reference, np.sqrt(2) * error, 0.01 * np.asarray(reference) + 1e-7)


@partial(jax.jit, static_argnums=6)
def _answers(config, model, compensation, w, x, times, reps, key):
    """Outputs `[reps, T, B, O]`, factors and baselines of freshly programmed tiles."""

    def chip(key):
        k_make, k_program, k_drift, k_read = jax.random.split(key, 4)
        programmed = program(create(config, w.shape, k_make, w), model, compensation, k_program)

        def read(t, k_drift, k_read):
            tile = drift(programmed, t, k_drift)
            return tile.forward(x, k_read)[0], tile.scale

        keys = [jax.random.split(k, len(times)) for k in (k_drift, k_read)]
        return *jax.vmap(read)(times, *keys), programmed.baseline

    return jax.vmap(chip)(jax.random.split(key, reps))


def _compensated(verdict: Verdict, case: dict) -> None:
    inputs, observed, reps = case["inputs"], case["observed"], 4 * case["reps"]
    w, x, times = (jnp.asarray(inputs[name]) for name in ("W", "x", "t_inference_s"))
    y, alpha, baseline = _answers(*compensated_tile(case["config"]), w, x, times, reps, key_for(case))
    for n, t in enumerate(inputs["t_inference_s"]):
        compared = {"y": np.asarray(y[:, n])}
        compared |= {"alpha": _each(alpha[:, n], observed["alpha"][str(t)])} if "alpha" in observed else {}
        for what, values in compared.items():
            compare_mean(verdict, f"{what} at {t:g} s", Sample(values), observed[what][str(t)], case["reps"])
            compare_std(verdict, f"{what} at {t:g} s", Sample(values), observed[what][str(t)])
    if "baseline" in observed:
        sample = Sample(_each(baseline, observed["baseline"]))
        compare_mean(verdict, "baseline", sample, observed["baseline"], case["reps"])
        compare_std(verdict, "baseline", sample, observed["baseline"])


def _each(values, reference: dict) -> np.ndarray:
    """Values `[R]` or `[R, O]`, in the shape of the reference for each repetition; one that is always the same too."""
    return np.broadcast_to(np.asarray(values).reshape(len(values), -1), (len(values), np.size(reference["mean"])))


HERE = [one for one in replays(GROUP, unsupported, 2) if str(one.values[0]).split("_")[0] not in ELSEWHERE]


@pytest.mark.parametrize(("name", "sequential"), HERE)
def test_case(name: str, sequential: bool) -> None:
    replay(name, sequential).check()


def test_nothing_is_skipped_by_accident() -> None:
    assert len(supported()) == len(HERE) == REPLAYED
