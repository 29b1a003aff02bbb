"""Optimizers that pulse analog tiles in addition to their digital work."""

import warnings
from collections.abc import Callable
from importlib import import_module
from types import new_class
from typing import Any, ClassVar
from weakref import WeakSet, WeakValueDictionary

from compat.aihwkit.optim.context import AnalogContext, resting_with
from compat.torch_package import torch


class AnalogOptimizerMixin:
    """Put before a torch optimizer: pulsed tiles get SGD at the rate of their group, the rest what torch does.

    The weights of inference tiles are ordinary parameters, and belong to the rest.
    """

    param_groups: list[dict[str, Any]]
    defaults: dict[str, Any]

    def regroup_param_groups(self, *_: Any) -> None:
        """Give each tile a parameter group of its own."""
        contexts = [param for param in self._parameters() if isinstance(param, AnalogContext)]
        chosen = {id(param) for param in contexts}
        for group in self.param_groups:
            group["params"] = [param for param in group["params"] if id(param) not in chosen]
        self.param_groups = [group for group in self.param_groups if group["params"]]
        for context in contexts:
            context.analog_tile.set_learning_rate(self.defaults["lr"])
            self.add_param_group({"params": [context]})  # type: ignore[attr-defined]

    def _parameters(self) -> list[Any]:
        return [param for group in self.param_groups for param in group["params"]]

    @torch.no_grad()
    def step(self, closure: Callable | None = None, **kwargs: Any) -> Any:
        """One step: what torch trains, then pulses of every tile that has seen something, then its rest.

        A rate of 0 pulses nothing; the rest (diffusion, decay) happens all the same.
        """
        result = super().step(closure, **kwargs)  # type: ignore[misc]
        for group in self.param_groups:
            rate = float(group["lr"])
            for param in group["params"]:
                if isinstance(param, AnalogContext):
                    _advance(param, rate)
                elif (tile := resting_with(param)) is not None:
                    tile.post_update_step()
        return result

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear gradients, and what the tiles have collected."""
        super().zero_grad(set_to_none)  # type: ignore[misc]
        for param in self._parameters():
            if isinstance(param, AnalogContext):
                param.reset()

    def set_learning_rate(self, learning_rate: float = 0.1) -> None:
        """Set the rate of every group and tile."""
        for group in self.param_groups:
            group["lr"] = learning_rate
            for param in group["params"]:
                if isinstance(param, AnalogContext):
                    param.analog_tile.set_learning_rate(learning_rate)


def _warn_of_idle_tiles(optimizer: Any, *_: Any) -> None:
    """Called before a step of any torch optimizer: warns, at the first, that it does not move pulsed tiles."""
    if isinstance(optimizer, AnalogOptimizerMixin) or optimizer in _WARNED:
        return
    _WARNED.add(optimizer)
    idle = [param for group in optimizer.param_groups for param in group["params"] if isinstance(param, AnalogContext)]
    if any(context.has_gradient() for context in idle):
        name = type(optimizer).__name__
        warnings.warn(
            f"{name} moves no pulsed device: {len(idle)} of its parameters are tiles, and stay as they are. Use "
            f"AnalogSGD, or AnalogOptimizer({name}, ...).",
            stacklevel=4,
        )


_WARNED: WeakSet[Any] = WeakSet()
# torch.optim hides its own module of this name
import_module("torch.optim.optimizer").register_optimizer_step_pre_hook(_warn_of_idle_tiles)


def _advance(context: AnalogContext, rate: float) -> None:
    tile = context.analog_tile
    if "analog_ctx" in vars(tile):  # no parameter of the tile: torch trains its weights, whose own one sees to the rest
        return
    if context.has_gradient() and rate != 0.0:
        tile.set_learning_rate(rate)
        tile.update_and_rest(context.analog_input, context.analog_grad_output)
    else:
        tile.post_update_step()
    context.reset()


class AnalogOptimizer(AnalogOptimizerMixin, torch.optim.Optimizer):
    """`AnalogOptimizer(torch.optim.Adam, parameters, ...)`: any torch optimizer, with analog tiles."""

    # one registry for all; a class that nobody uses any more may go
    SUBCLASSES: ClassVar[WeakValueDictionary[tuple[type, type], type]] = WeakValueDictionary()

    def __new__(cls, optimizer_cls: type, *_: Any, **__: Any) -> "AnalogOptimizer":
        """An instance of a subclass of both."""
        kind = cls.SUBCLASSES.get((cls, optimizer_cls))
        if kind is None:
            kind = new_class(f"{cls.__name__}{optimizer_cls.__name__}", (cls, optimizer_cls), {})
            cls.SUBCLASSES[cls, optimizer_cls] = kind
        return super().__new__(kind)

    def __init__(self, optimizer_cls: type, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class AnalogSGD(AnalogOptimizerMixin, torch.optim.SGD):
    """Stochastic gradient descent, pulsed where a parameter is a tile."""


class AnalogAdam(AnalogOptimizerMixin, torch.optim.Adam):
    """Adam for digital parameters and inference tiles, pulsed gradient descent for other tiles."""
