"""A training step of a torch model as one compiled call: `compat.compile(model, loss, optimizer)`.

Layer by layer, a step of a small net spends its time between its layers. Compiled as a whole it is one call: forward,
loss, backward, and the pulses of all tiles. The model stays a torch model: its chips and parameters are read at every
call and hold the result after it, so `state_dict`, evaluation and schedules are what they always are.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from analogjax import nn
from analogjax._typing import Array, Key, Scalar
from analogjax.tile import update as tile_update
from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import ConfigError, InputTypeError, TileError
from compat.aihwkit.experiments.convert import Layer, Obstacle, is_hooked, layers_of
from compat.aihwkit.optim import AnalogOptimizerMixin
from compat.aihwkit.optim.context import AnalogContext
from compat.torch_package import torch

_F = torch.nn.functional
_ERRORS: dict[Any, Callable[[Array, Array], Array]] = {
    torch.nn.MSELoss: optax.squared_error,
    torch.nn.L1Loss: lambda y, target: jnp.abs(y - target),
    torch.nn.SmoothL1Loss: optax.huber_loss,
    torch.nn.HuberLoss: optax.huber_loss,
    torch.nn.BCEWithLogitsLoss: optax.sigmoid_binary_cross_entropy,
    torch.nn.CrossEntropyLoss: optax.softmax_cross_entropy_with_integer_labels,
    torch.nn.NLLLoss: lambda y, target: -jnp.take_along_axis(y, target[:, None], axis=1)[:, 0],
}
_OF_CLASSES = (torch.nn.CrossEntropyLoss, torch.nn.NLLLoss)
_FUNCTIONS = {
    _F.mse_loss: torch.nn.MSELoss,
    _F.l1_loss: torch.nn.L1Loss,
    _F.smooth_l1_loss: torch.nn.SmoothL1Loss,
    _F.huber_loss: torch.nn.HuberLoss,
    _F.binary_cross_entropy_with_logits: torch.nn.BCEWithLogitsLoss,
    _F.cross_entropy: torch.nn.CrossEntropyLoss,
    _F.nll_loss: torch.nn.NLLLoss,
}
_REDUCTIONS = ("mean", "sum")
_IGNORED = -100  # a class number that torch leaves out of sum and mean


def compile(model: Any, loss: Any, optimizer: Any) -> "WholeStep":
    """Compile a training step of `model`.

    Args:
        model: A row of modules (`AnalogSequential`, also nested) that have a native form: analog layers, `Linear`,
            `Flatten`, `MaxPool2d`, activations.
        loss: A torch loss, such as `torch.nn.MSELoss()` or `torch.nn.functional.cross_entropy`, with its default
            arguments; `reduction="sum"` is known.
        optimizer: An analog optimizer with all the tiles, such as `AnalogSGD`. Its digital part is torch's own, and
            rates are read at every step.

    Returns:
        A function of inputs `[B, ...]` and targets that makes a step and returns the loss before it, detached.
        Gradients of digital parameters are in `.grad` afterwards. Random numbers come from the first tile's key.

    Raises:
        ConfigError: Where something has no native form, with what it is.
    """
    return WholeStep(model, loss, optimizer)


class WholeStep:
    """What `compile` returns."""

    def __init__(self, model: Any, loss: Any, optimizer: Any) -> None:
        if not isinstance(optimizer, AnalogOptimizerMixin):
            raise ConfigError(
                f"compile: {type(optimizer).__name__} pulses no tiles; use AnalogSGD, or AnalogOptimizer"
                f"({type(optimizer).__name__}, ...)."
            )
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self._build()

    def __call__(self, x: Any, target: Any) -> Any:
        """Make one step; the loss before it."""
        for name, value in {"x": x, "the target": target}.items():
            if not isinstance(value, torch.Tensor):
                raise InputTypeError(f"{name} is of {type(value).__name__}; give a torch tensor.")
        if self._seen() != self._built:  # layers, configurations, hooks, the loss, or what is frozen
            self._build()
        chips = [layer.chips for layer in self._tiled]
        rates = self._rates()
        pulsed = tuple(rate != 0.0 for rate in rates)
        leaves = [one.leaves for one in chips]
        given = [bridge.lent(value, "a parameter") for _, _, value in self._digital]
        key = chips[0].root, chips[0].next_use()
        (value, known), gradients, moved = self._step(
            pulsed, leaves, given, key, rates, bridge.lent(x), _targets(target)
        )
        value = bridge.to_torch(value)  # now everything is done, and what was lent is free again
        if not known:
            raise TileError(
                f"the target has classes from {target.min()} to {target.max()}; they start at 0, there are as many as "
                f"the model has outputs, and only {_IGNORED} is left out. The step was not made."
            )
        for one, old, new in zip(chips, leaves, moved, strict=True):
            one.moved(old, new)
        for (_, _, parameter), gradient in zip(self._digital, gradients, strict=True):
            parameter.grad = bridge.to_torch(gradient)
        self.optimizer.step()  # the digital parameters, and the rest of the tiles
        return value

    def _build(self) -> None:
        self._loss = _loss_of(self.loss)
        try:
            self._layers: list[Layer] = list(layers_of(self.model))
        except Obstacle as obstacle:
            raise ConfigError(
                f"compile: {obstacle}. Train this model module by module, with loss.backward() and optimizer.step()."
            ) from None
        self._tiled: list[Any] = [layer for layer in self._layers if layer.tiles]
        if not self._tiled:
            raise ConfigError("compile: the model has no analog layer.")
        if any(tile.analog_ctx.use_torch_update for layer in self._tiled for tile in layer.tiles):
            raise ConfigError("compile: hardware-aware training has no compiled step; train it module by module.")
        self._rates()
        self._digital = [(layer.name, name, value) for layer in self._layers for name, value in layer.params.items()]
        self._built = self._seen()
        self._native = nn.Sequential(*(layer.call for layer in self._layers))
        self._step = jax.jit(partial(self._whole, [layer.chips.program for layer in self._tiled]), static_argnums=0)

    def _seen(self) -> tuple[Any, ...]:
        """What the compiled step was made for."""
        modules = list(self.model.modules())
        programs = [module.chips.program for module in modules if hasattr(module, "analog_ctx")]
        parameters = [(id(one), one.requires_grad) for one in self.model.parameters()]
        return modules, programs, any(map(is_hooked, modules)), parameters, _arguments(self.loss)

    def _rates(self) -> list[float]:
        """The learning rate of each layer. Raises `ConfigError` where the optimizer has none, or several."""
        found = {
            id(param): float(group["lr"])
            for group in self.optimizer.param_groups
            for param in group["params"]
            if isinstance(param, AnalogContext)
        }
        try:
            rates = [{found[id(tile.analog_ctx)] for tile in layer.tiles} for layer in self._tiled]
        except KeyError:
            raise ConfigError("compile: a tile of the model is in no parameter group of the optimizer.") from None
        if any(len(of_layer) > 1 for of_layer in rates):
            raise ConfigError("compile: the chips of one matrix have different learning rates; give them one.")
        return [rate for (rate,) in rates]

    def _whole(
        self, programs: list[Any], pulsed: tuple[bool, ...], leaves: list[bridge.Leaves], digital: list[Array],
        key: tuple[Key, Scalar], rates: list[Scalar], x: Array, target: Array,
    ) -> tuple[tuple[Array, Array], list[Array], list[bridge.Leaves]]:  # fmt: skip
        """Loss and whether it knows all targets, gradients of the digital parameters, and what moves of each tile."""
        k_forward, k_update = jax.random.split(jax.random.fold_in(*key))
        names = [layer.name for layer in self._tiled]
        chips = [program.tile(own) for program, own in zip(programs, leaves, strict=True)]
        tiles = {name: {"tile": chip} for name, chip in zip(names, chips, strict=True)}
        slots = nn.slots(self._native, nn.Variables(self._params(digital), tiles), x)

        def loss(digital: list[Array], slots: Any) -> tuple[Array, Array]:
            variables = nn.Variables(self._params(digital), tiles)
            return self._loss(nn.apply(self._native, variables, x, key=k_forward, slots=slots), target)

        value, (gradients, signals) = jax.value_and_grad(loss, (0, 1), has_aux=True)(digital, slots)
        keys = jax.random.split(k_update, len(names))
        moved = [
            program.moving_of(tile_update(chip, signals[name]["tile"], rate, key=own) if moves else chip)
            for program, chip, name, rate, own, moves in zip(programs, chips, names, rates, keys, pulsed, strict=True)
        ]
        return value, gradients, moved

    def _params(self, digital: list[Array]) -> dict[str, dict[str, Array]]:
        """The digital parameters as the native layers have them; torch keeps a matrix as `[O, I]`, flax as `[I, O]`."""
        params: dict[str, dict[str, Array]] = {}
        for (layer, name, _), value in zip(self._digital, digital, strict=True):
            single = name == "out_scale" and value.shape == (1,)
            params.setdefault(layer, {})[name] = value.T if name == "kernel" else value[0] if single else value
        return params


def _targets(target: Any) -> Any:
    whole = target.dtype in (torch.int64, torch.uint8)
    return target.detach().numpy() if whole else bridge.lent(target, "the target")


def _loss_of(loss: Any) -> Callable[[Array, Array], tuple[Array, Array]]:
    """The native form of a torch loss, and whether it knows all targets. Raises `ConfigError` where there is none."""
    kind = _FUNCTIONS.get(loss, type(loss)) if isinstance(loss, Callable) else type(loss)  # type: ignore[arg-type]
    known = ", ".join(one.__name__ for one in _ERRORS)
    if kind not in _ERRORS:
        raise ConfigError(f"compile: the loss {loss!r} has no native form; known are {known}, and their functions.")
    plain = kind()
    odd = [] if not isinstance(loss, torch.nn.Module) else _changed(loss, plain)
    reduction = getattr(loss, "reduction", "mean")
    if odd or reduction not in _REDUCTIONS:
        what = odd[0] if odd else "reduction"
        raise ConfigError(f"compile: {kind.__name__}({what}={getattr(loss, what)!r}) has no native form.")
    return partial(_of_classes if kind in _OF_CLASSES else _of_numbers, _ERRORS[kind], reduction == "mean")


def _arguments(loss: Any) -> dict[str, Any]:
    """What a loss was made with, as it is now; tensors by identity."""
    given = {name: value for name, value in vars(loss).items() if not name.startswith("_") and name != "training"}
    return given | {name: id(value) for name, value in getattr(loss, "_buffers", {}).items()}


def _changed(loss: Any, plain: Any) -> list[str]:
    """The arguments of a loss that are not its defaults, but for its reduction."""
    fields: Mapping[str, Any] = vars(plain) | dict(plain.named_buffers()) | dict(loss.named_buffers())
    names = [name for name in fields if not name.startswith("_") and name not in ("reduction", "training")]
    return [name for name in [*names, "weight"] if getattr(loss, name, None) != getattr(plain, name, None)]


def _of_numbers(error: Callable, mean: bool, y: Array, target: Array) -> tuple[Array, Array]:
    """A loss of a target for each output; every number is known."""
    if target.shape != y.shape:
        raise _unfit(y, target, "a target for each output")
    return (jnp.mean if mean else jnp.sum)(error(y, target)), jnp.array(True)


def _of_classes(error: Callable, mean: bool, y: Array, target: Array) -> tuple[Array, Array]:
    """A loss of one class for each item, and whether there are such classes; `_IGNORED` ones do not count."""
    if y.ndim != 2 or target.shape != y.shape[:1] or not jnp.issubdtype(target.dtype, jnp.integer):
        raise _unfit(y, target, "one class number for each item [B], and outputs [B, C]")
    target = target.astype(jnp.int32)
    counted = target != _IGNORED
    known = jnp.all(~counted | ((target >= 0) & (target < y.shape[1])))
    total = jnp.sum(jnp.where(counted, error(y, jnp.where(counted, target, 0)), 0.0))
    if not mean:
        return total, known
    n = jnp.sum(counted)
    # of no item at all the mean is NaN, and moves nothing, as in torch
    return total / jnp.maximum(n, 1) + jnp.where(n == 0, jnp.nan, 0.0), known


def _unfit(y: Array, target: Array, wanted: str) -> TileError:
    return TileError(f"outputs {y.shape} and targets {target.shape} of {target.dtype}: the loss needs {wanted}.")
