"""The parameter that stands for a tile's weights in an optimizer, and collects what its devices have to be told."""

import copy
import weakref
from typing import Any

from compat.torch_package import torch

# of parameters that torch trains: the tile modules that rest after a step
_RESTING: Any = torch.utils.weak.WeakIdKeyDictionary()


def rests_with(param: Any, tile: Any) -> None:
    """Remember that the devices of `tile` rest after each step of an analog optimizer that trains `param`."""
    _RESTING[param] = weakref.ref(tile)


def resting_with(param: Any) -> Any:
    """The tile module that rests after a step of `param`, if there is one."""
    tile = _RESTING.get(param)
    return None if tile is None else tile()


class AnalogContext(torch.nn.Parameter):
    """A placeholder of the shape of the weights: it holds x and d of each call until the optimizer steps.

    It has no values of its own (and takes no memory); read the weights with `get_weights()`.
    """

    analog_tile: Any
    analog_input: list
    analog_grad_output: list
    use_indexed: bool
    use_torch_update: bool

    def __new__(cls, analog_tile: Any, requires_grad: bool = True) -> "AnalogContext":
        """A context for a tile module."""
        return cls._shaped((analog_tile.out_size, analog_tile.in_size), requires_grad, analog_tile)

    def __init__(self, analog_tile: Any, requires_grad: bool = True) -> None:
        super().__init__()

    @classmethod
    def _shaped(cls, shape: tuple[int, ...], requires_grad: bool, analog_tile: Any = None) -> "AnalogContext":
        new = torch.Tensor._make_subclass(cls, torch.zeros(()).expand(shape), requires_grad)
        new.analog_tile = analog_tile
        new.use_indexed = new.use_torch_update = False
        new.reset()
        return new

    def reset(self, analog_tile: Any = None) -> None:
        """Forget what was collected."""
        if analog_tile is not None:
            self.analog_tile = analog_tile
        self.analog_input, self.analog_grad_output = [], []

    def has_gradient(self) -> bool:
        """Whether anything was collected."""
        return len(self.analog_input) > 0

    def record(self, x: Any, d: Any) -> None:
        """Keep copies of `x` `[B, I]` and `d` `[B, O]`: what they were may be overwritten before the step."""
        if x.shape[0] > 0:
            self.analog_input.append(x.detach().clone())
            self.analog_grad_output.append(d.detach().clone())

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"AnalogContext of {type(self.analog_tile).__name__} {tuple(self.shape)}"

    def __deepcopy__(self, memo: dict) -> "AnalogContext":
        new = type(self)._shaped(tuple(self.shape), self.requires_grad)
        memo[id(self)] = new
        new.analog_tile = copy.deepcopy(self.analog_tile, memo)
        new.analog_input = [x.clone() for x in self.analog_input]
        new.analog_grad_output = [d.clone() for d in self.analog_grad_output]
        return new

    def __reduce_ex__(self, protocol: Any) -> Any:
        # the tile goes into the state, not the arguments: it refers back to this context
        collected = {"analog_input": self.analog_input, "analog_grad_output": self.analog_grad_output}
        return _rebuilt, (tuple(self.shape), self.requires_grad), {"analog_tile": self.analog_tile, **collected}

    def __setstate__(self, state: dict) -> None:
        for name, value in state.items():
            setattr(self, name, value)


def _rebuilt(shape: tuple[int, ...], requires_grad: bool) -> AnalogContext:
    return AnalogContext._shaped(shape, requires_grad)
