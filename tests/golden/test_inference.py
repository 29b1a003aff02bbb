"""Programming, drift, reads, conductance converters and drift compensation against aihwkit.

The group also has weight modifiers, clipping and remapping, and materials that this version does not have: they are
skipped, each with its reason.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax.physics import GlobalCompensation, PCMLike, SinglePair, StateIndependent
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
REPLAYED = 16  # of 78; a change of the translation must say so here
SEQUENTIAL = ()  # there is one evaluation

_MODELS = {"PCMLikeNoiseModel": PCMLike, "StateIndependentNoiseModel": StateIndependent}
_PAIR = "SinglePairConductanceConverter"
_TILES = ("InferenceRPUConfig", "TorchInferenceRPUConfig")


def converter(config: dict) -> SinglePair:
    """Our converter; raises `Unsupported`."""
    if config["class"] != _PAIR:
        raise Unsupported(f"class {config['class']}")
    return SinglePair(**{name: config["attributes"][name] for name in ("g_max", "g_min")})


def noise_model(config: dict) -> PCMLike | StateIndependent:
    """Our noise model; raises `Unsupported`."""
    if config["class"] not in _MODELS:
        raise Unsupported(f"class {config['class']}")
    given = config["attributes"] | {"prog_coeff": tuple(config["attributes"]["prog_coeff"])}
    return _MODELS[config["class"]](g_converter=converter(config["g_converter"]), **given)


def compensated_tile(config: dict) -> tuple[TileConfig, PCMLike | StateIndependent, GlobalCompensation | None]:
    """Tile, material and compensation of a tile for inference; raises `Unsupported`."""
    compensation = config["drift_compensation"]
    if compensation is not None and compensation["class"] != "GlobalDriftCompensation":
        raise Unsupported(f"class {compensation['class']}")
    parts = {name: value for name, value in config.items() if name not in ("noise_model", "drift_compensation")}
    model = noise_model(config["noise_model"])
    return tile_config(parts | {"class": "SingleRPUConfig"}), model, compensation and GlobalCompensation()


def unsupported(case: dict) -> str | None:
    """Why a case cannot be replayed, or `None` if it can."""
    kind = case["case"].split("_")[0]
    if kind in ("modifier", "clip", "remap"):
        return f"{kind} of hardware-aware training"
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
    g, ratio = ours.conductances(jnp.asarray(case["inputs"]["weights"]))
    compare_exact(verdict, "conductances", g, observed["conductances"])
    compare_exact(verdict, "ratio", ratio, observed["params"]["scale_ratio"])
    compare_exact(verdict, "weights back", ours.weights(g, ratio), observed["weights_back"])


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
    for k, reference in enumerate(observed["nu_by_slice"]):
        # it comes without standard errors: theirs are those of as many draws of ours
        sample = Sample(_columns(programmed.nu[:, k]))
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
    se_mean, se_std = clustered(values.transpose(0, 2, 1))
    compare_mean(verdict, what, ours, reference, reps, se_mean)
    compare_std(verdict, what, ours, reference, se_std)
    compare_quantiles(verdict, what, ours, reference, ours.n)


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
        compared |= {"alpha": np.asarray(alpha[:, n])[:, None]} if "alpha" in observed else {}
        for what, values in compared.items():
            compare_mean(verdict, f"{what} at {t:g} s", Sample(values), observed[what][str(t)], case["reps"])
            compare_std(verdict, f"{what} at {t:g} s", Sample(values), observed[what][str(t)])
    if "baseline" in observed:
        compare_mean(verdict, "baseline", Sample(baseline[:, None]), observed["baseline"], case["reps"])
        compare_std(verdict, "baseline", Sample(baseline[:, None]), observed["baseline"])


@pytest.mark.parametrize(("name", "sequential"), replays(GROUP, unsupported, 1))
def test_case(name: str, sequential: bool) -> None:
    replay(name, sequential).check()


def test_nothing_is_skipped_by_accident() -> None:
    assert len(supported()) == REPLAYED
