"""Weight programming optimisation: a search for the tables of a `CustomPairConductanceConverter`.

Strategies, and the tables they stand for, are those of `analogjax.physics.inference.strategy`; what one is worth is the
error of weights that are programmed, drift, and are compensated on the tiles of an `InferenceRPUConfig`. scipy's
differential evolution is called with aihwkit's settings. Where noise model, converter and compensation have a compiled
form, and `workers` is not 1, all strategies of a generation are tried at once by one compiled function, instead of one
by one in processes of their own.
"""

import pickle
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import datetime
from functools import partial
from math import ceil, isnan
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import differential_evolution

from analogjax._typing import Array, Key
from analogjax.physics.inference.optimise import converted_by
from analogjax.physics.inference.strategy import Strategy
from analogjax.tile import drift, program
from compat import native_calls
from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.inference.converter.conductance import (
    CustomPairConductanceConverter,
    DualPairConductanceConverter,
    NPairConductanceConverter,
    SinglePairConductanceConverter,
)
from compat.aihwkit.nn.modules.linear import AnalogLinear
from compat.aihwkit.simulator.tiles.programming import is_compiled, native_parts
from compat.torch_package import torch

_AT_ONCE = 16  # chips in memory
_AMPLIFICATION = 10.0  # of an error, relative to the largest weight, before it is squared
_BASELINES = (
    SinglePairConductanceConverter, DualPairConductanceConverter, NPairConductanceConverter,
    CustomPairConductanceConverter,
)  # fmt: skip


class Tables(CustomPairConductanceConverter):
    """A converter whose tables are data for compiled functions, so that other tables need no compilation."""

    def to_native(self) -> Any:
        """The native converter, with arrays in the place of tables."""
        return replace(
            super().to_native(), f_lst=jnp.asarray(self.f_lst, jnp.float32), g_lst=jnp.asarray(self.g_lst, jnp.float32)
        )


def downsample_weight_distribution(weights: Any, shape: Any) -> Any:
    """Weights `shape`, equally spaced in rank among `weights` (smallest and largest are kept), in random order."""
    ranked = weights.detach().flatten().sort()[0]
    places = torch.linspace(0, len(ranked) - 1, torch.Size(shape).numel())
    below = places.floor().long().clamp(max=len(ranked) - 1)
    above = (below + 1).clamp(max=len(ranked) - 1)
    taken = torch.lerp(ranked[below], ranked[above], (places - below).to(ranked))
    return shuffle_weights(taken.reshape(shape))


def shuffle_weights(weights: Any) -> Any:
    """The same weights, their rows in another order, by numpy's generator."""
    mixed = weights.detach().cpu().numpy().copy()
    np.random.shuffle(mixed)
    return torch.from_numpy(mixed)


def stop_criterion(intermediate_result: Any) -> None:
    """Print how far the best loss is, and stop (`StopIteration`) once it beats the baseline by the margin."""
    value = float(intermediate_result.fun)
    print(f"\t(current loss - baseline loss) / baseline loss + loss margin = {value:.10f} ({datetime.now()})")
    if value < 0.0:
        raise StopIteration


def partition_parameters(x: Any, d: dict[str, Any]) -> tuple[list[float], Any, Any]:
    """Of a point: the significances, the conductance per weight [uS], and the coordinates of the tables."""
    f_lst, given = [], list(x)
    for f in d["f_lst"]:
        f_lst.append(d["f_min"] + (d["f_max"] - d["f_min"]) * given.pop(0) if f is None else f)
    share = 1.0 if d["use_max_kw"] else given.pop(0)
    whole = sum(f_lst) * (d["g_max"] - d["g_min"])
    k_w = (0.05 + 0.95 * share) * whole / d["max_abs_weight_unitless"]
    return f_lst, k_w, np.asarray(x)[len(x) - len(given) :]


def reformat_x_g(x_g: Any, len_f_lst: int, symmetric: bool) -> tuple[list[list[float]], int]:
    """The coordinates of each table, and the number of entries of a table."""
    rows = np.asarray(x_g).reshape(2 * len_f_lst - 1, -1)
    return rows.tolist(), rows.shape[1] * 2 - 1 if symmetric else rows.shape[1]


def span_of_remaining_pairs(span_of_each_pair: list[float], ind: int) -> float:
    """What the pairs from number `ind` on can hold [uS]."""
    return sum(span_of_each_pair[ind:])


def denormalize(x: Any, d: dict[str, Any]) -> tuple[list[float], list[list[float]]]:
    """Significances, and tables [uS], of a point of the hypercube."""
    f, tables = _tables(_strategy(d), _point(np.asarray(x, np.float32), d))
    return [float(one) for one in f], [[float(g) for g in row] for row in tables]


def loss_weights(
    model: Any, t_steps: Sequence[float], test_weights: Any, max_abs_weight_unitless: Any, loss_baseline: float,
    loss_margin: float, get_baseline: bool = False,
) -> float:  # fmt: skip
    """The mean squared error of `test_weights` `[I, O]` on freshly programmed chips of `model`, one layer.

    Averaged over the times; relative to the largest weight, and amplified. Unless `get_baseline`, relative to the
    baseline: below 0 where it is beaten by the margin.
    """
    total = 0.0
    for layer in model.analog_layers():
        layer.set_weights(test_weights.T.clone())
        for t in t_steps:
            layer.program_analog_weights()
            layer.drift_analog_weights(t)
            error = (layer.get_weights()[0].T - test_weights) / max_abs_weight_unitless  # with the compensation
            total += float(((_AMPLIFICATION * error) ** 2).mean()) / len(t_steps)
    return _relative(total, loss_baseline, loss_margin, get_baseline)


def loss_rpu_config(d: dict[str, Any]) -> float:
    """`loss_weights` of a layer of its own, for the settings `d` of an optimizer."""
    return loss_weights(
        _Layers(_model(d)), d["t_steps"], d["weights_downsampled_unitless"], d["max_abs_weight_unitless"],
        d["loss_baseline"], d["loss_margin"], d["get_baseline"],
    )  # fmt: skip


def loss_fxn(x: Any, *args: bytes) -> float:
    """The loss of one point, for the pickled settings of an optimizer."""
    d = pickle.loads(args[0])
    d["rpu_config"] = deepcopy(d["rpu_config"])
    d["rpu_config"].noise_model.g_converter = Tables(
        *denormalize(x, d), g_max=d["g_max"], g_min=d["g_min"], invertibility_test=False
    )
    return loss_rpu_config(d)


class WeightProgrammingOptimizer:
    """Search for the tables that hold `weights` best on the chips of `rpu_config` at the times `t_steps`.

    `f_lst` are the significances, `None` where they are to be found; the converter of the baseline, which is to be
    beaten, gives the range of conductances. Further settings have aihwkit's names and defaults: `nbins`,
    `test_out_features`, `g_err`, `f_min`, `f_max`, `use_max_kw`, `loss_margin`, `baseline_iterations`, `callback`,
    `disp`, and those of scipy (`strategy`, `popsize`, `maxiter`, `tol`, `atol`, `mutation`, `recombination`, `polish`,
    `workers`, `seed`, `x_init`).
    """

    def __init__(
        self, weights: Any, f_lst: list, rpu_config: Any, t_steps: list, g_converter_baseline: Any,
        symmetric: bool = True, **kwargs: Any,
    ) -> None:  # fmt: skip
        self.f_lst, self.t_steps, self.symmetric = f_lst, t_steps, symmetric
        self.rpu_config = deepcopy(rpu_config)
        self.mapping_saved = deepcopy(self.rpu_config.mapping)
        self.rpu_config.mapping.weight_scaling_omega = 0.0
        for name in ("weight_scaling_columnwise", "learn_out_scaling", "out_scaling_columnwise"):
            setattr(self.rpu_config.mapping, name, False)
        self.noise_model = self.rpu_config.noise_model
        self.test_in_features, self.test_out_features = self.rpu_config.mapping.max_input_size, 20
        self.nbins, self.g_err, self.f_min, self.f_max, self.use_max_kw = 6, 0.0, 0.1, 5.0, False
        self.loss_margin, self.baseline_iterations = 0.125, 100
        self.callback: Callable | None = stop_criterion
        self.disp = True
        self.strategy, self.popsize, self.maxiter, self.tol, self.atol = "best1bin", 100, 200, 0.0, 0.02
        self.mutation, self.recombination, self.polish, self.workers = 0.1, 0.3, True, -1
        self.seed, self.x_init, self.device = 100, "latinhypercube", "cpu"
        self._take(kwargs)
        if not isinstance(g_converter_baseline, _BASELINES):
            raise TypeError(f"g_converter_baseline: a {type(g_converter_baseline).__name__} is no converter of pairs.")
        self.g_converter_baseline = deepcopy(g_converter_baseline)
        self.g_min, self.g_max = self.g_converter_baseline.g_min, self.g_converter_baseline.g_max
        self.g_err = self.g_err * (self.g_max - self.g_min)
        self.get_baseline, self.loss_baseline, self.best_loss = False, float("inf"), float("inf")
        size = torch.Size([self.test_in_features, self.test_out_features])
        self.weights_downsampled_unitless = downsample_weight_distribution(weights.cpu().float(), size)
        self.max_abs_weight_unitless = self.weights_downsampled_unitless.abs().max()
        largest = float(self.max_abs_weight_unitless)
        self.weights_discretized_unitless = torch.linspace(-largest, largest, 2 * self.nbins - 1)
        # until there is a better one: all devices at the lowest conductance
        self.g_converter = CustomPairConductanceConverter(
            list(f_lst), [[self.g_min] * (2 * self.nbins - 1)] * (2 * len(f_lst)), self.g_max, self.g_min, False
        )

    def _take(self, settings: dict[str, Any]) -> None:
        """Settings of the caller in the place of the defaults. Raises `ConfigError` for unknown ones."""
        unknown = sorted(settings.keys() - vars(self).keys())
        if unknown:
            known = ", ".join(sorted(vars(self)))
            raise ConfigError(f"WeightProgrammingOptimizer: {', '.join(unknown)} not known; there are {known}.")
        vars(self).update(settings)
        if self.device != "cpu":
            raise ConfigError(f"WeightProgrammingOptimizer(device={self.device!r}): needs 'cpu'.")

    def generate_hop_bounds(self) -> tuple[tuple[float, float], ...]:
        """The bounds of each coordinate of a strategy."""
        rows = ceil(len(self.weights_discretized_unitless) / 2) if self.symmetric else 2 * self.nbins - 1
        size = (2 * len(self.f_lst) - 1) * rows + self.f_lst.count(None) + (not self.use_max_kw)
        return ((0.0, 1.0),) * size

    def get_loss_baseline(self) -> float:
        """The mean loss of the converter of the baseline."""
        d = deepcopy(vars(self)) | {"get_baseline": True}
        d["rpu_config"].noise_model.g_converter = self.g_converter_baseline
        if is_compiled(self.rpu_config):
            keys = jax.random.split(bridge.draw_key(), self.baseline_iterations)
            loss = float(jnp.mean(jax.jit(partial(_losses_of, _chip(d), _native(d)))(_target(d), keys)))
        else:
            loss = sum(loss_rpu_config(d) for _ in range(self.baseline_iterations)) / self.baseline_iterations
        if self.disp:
            print(f"\n\tloss baseline = {loss:f} ({type(self.g_converter_baseline).__name__})\n")
        return loss

    def differential_weight_evolution(self) -> tuple[CustomPairConductanceConverter, Any]:
        """The best tables, and `True`, or the loss where the baseline is not beaten by the margin."""
        bounds = self.generate_hop_bounds()
        if self.disp:
            print(f"\t\thypercube dimensions = {len(bounds)} \n")
        together = self.workers != 1 and is_compiled(self.rpu_config)
        objective = {"func": self._together(), "vectorized": True} if together else {
            "func": loss_fxn, "args": (pickle.dumps(vars(self)),)
        }  # fmt: skip
        found = differential_evolution(
            **objective, bounds=bounds, callback=self.callback, strategy=self.strategy, maxiter=self.maxiter,
            popsize=self.popsize, tol=self.tol, atol=self.atol, mutation=self.mutation,
            recombination=self.recombination, seed=self.seed, disp=False, polish=self.polish, init=self.x_init,
            updating="deferred" if self.workers != 1 else "immediate",
        )  # fmt: skip
        self.best_loss = (found.fun - self.loss_margin) * self.loss_baseline + self.loss_baseline
        f_lst, g_lst = denormalize(found.x, vars(self))
        converter = CustomPairConductanceConverter(f_lst, g_lst, self.g_max, self.g_min, invertibility_test=False)
        return converter, True if found.fun < 0.0 else found.fun

    def run_optimizer(self) -> tuple[CustomPairConductanceConverter, Any]:
        """Measure the baseline and search; the configuration then has the converter that was found."""
        self.loss_baseline = self.get_loss_baseline()
        self.g_converter, success = self.differential_weight_evolution()
        self.rpu_config.mapping = self.mapping_saved
        self.rpu_config.noise_model.g_converter = self.g_converter
        self.f_lst = self.g_converter.f_lst
        return self.g_converter, success

    def _together(self) -> Callable[[Any], Any]:
        """`[size, N]` points to `[N]` losses, on chips of their own."""
        d = vars(self)
        chip, target, strategy = _chip(d), _target(d), _strategy(d)
        material, compensation, times = _native(d)

        @jax.jit
        def losses(points: Array, keys: Key) -> Array:
            def one(given: tuple[Array, Key]) -> Array:
                parts = converted_by(material, strategy.converter(given[0])), compensation, times
                return _loss_of(chip, parts, target, given[1])

            return jax.lax.map(one, (points, keys), batch_size=_AT_ONCE)

        def at(x: Any) -> Any:
            points = np.stack([_point(one, d) for one in np.asarray(x, np.float32).T])
            found = np.asarray(losses(jnp.asarray(points), jax.random.split(bridge.draw_key(), len(points))))
            return np.array([_relative(float(one), self.loss_baseline, self.loss_margin, False) for one in found])

        return at


class _Layers:
    """A model of one layer, as `loss_weights` asks for it."""

    def __init__(self, layer: AnalogLinear) -> None:
        self.layer = layer

    def analog_layers(self) -> list[AnalogLinear]:
        return [self.layer]


def _relative(loss: float, baseline: float, margin: float, get_baseline: bool) -> float:
    loss = float("inf") if isnan(loss) else loss
    return loss if get_baseline else (loss - baseline) / baseline + margin


def _model(d: dict[str, Any]) -> AnalogLinear:
    """A layer to try weights `[I, O]` on."""
    inputs, outputs = d["weights_downsampled_unitless"].shape
    config = deepcopy(d["rpu_config"])
    return AnalogLinear(inputs, outputs, bias=False, rpu_config=config, tile_module_class=config.tile_class).eval()


def _chip(d: dict[str, Any]) -> Any:
    """The tile of a layer that holds the weights to be tried."""
    layer = _model(d)
    layer.set_weights(d["weights_downsampled_unitless"].T.clone())
    return layer.analog_module.chips.tile


def _target(d: dict[str, Any]) -> Array:
    return native_calls.array(d["weights_downsampled_unitless"].T)


def _native(d: dict[str, Any]) -> tuple[Any, Any, tuple[float, ...]]:
    """Noise model, compensation and times."""
    return *native_parts(d["rpu_config"]), tuple(float(t) for t in d["t_steps"])


def _losses_of(chip: Any, parts: tuple, target: Array, keys: Key) -> Array:
    return jax.lax.map(lambda key: _loss_of(chip, parts, target, key), keys, batch_size=_AT_ONCE)


def _loss_of(chip: Any, parts: tuple, target: Array, key: Key) -> Array:
    """The loss of freshly programmed chips. Consumes `key`."""
    material, compensation, times = parts
    total = jnp.zeros(())
    for n, t in enumerate(times):
        k_program, k_drift = jax.random.split(jax.random.fold_in(key, n))
        now = drift(program(chip, material, compensation, k_program), t, k_drift).read()
        total = total + jnp.mean((_AMPLIFICATION * (now - target) / jnp.max(jnp.abs(target))) ** 2)
    return total / len(times)


def _strategy(d: dict[str, Any]) -> Strategy:
    return Strategy(
        tuple(d["f_lst"]), float(d["g_max"]), float(d["g_min"]), int(d["nbins"]), bool(d["symmetric"]),
        (float(d["f_min"]), float(d["f_max"])), float(d["g_err"]),
    )  # fmt: skip


def _point(x: Any, d: dict[str, Any]) -> Any:
    """A point with the coordinate of the range, which `use_max_kw` leaves out."""
    return np.insert(x, d["f_lst"].count(None), 1.0) if d["use_max_kw"] else x


@partial(jax.jit, static_argnums=0)
def _tables(strategy: Strategy, x: Array) -> tuple[Array, Array]:
    return strategy.tables(x)
