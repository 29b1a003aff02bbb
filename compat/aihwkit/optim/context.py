"""The parameter that represents the weights of a tile in an optimizer, and collects the signals for its devices."""

import copy
import weakref
from typing import Any

from compat.aihwkit.exceptions import PlaceholderError
from compat.aihwkit.optim.weight_view import PlaceholderDataView, ReadOnlyWeightView, is_inplace_operation
from compat.aihwkit.optim.weight_view import raise_if_readonly_write_target as raise_if_readonly_write_target
from compat.aihwkit.simulator.parameters.enums import AnalogContextDataViewMode
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


# what torch asks of a tensor without looking at its values, by the names of the functions
_METADATA = frozenset(
    """
    __dir__ __get__ __len__ __set__ _has_compatible_shallow_copy_type _is_view bfloat16 cpu cuda data_ptr dense_dim
    detach dim double element_size float get_device half has_names is_complex is_conj is_contiguous is_distributed
    is_floating_point is_inference is_neg is_pinned is_shared is_signed ndimension nelement numel
    register_hook register_post_accumulate_grad_hook requires_grad_ retain_grad share_memory_ size sparse_dim
    storage_offset stride to type
    """.split()
)
_LAYOUT = ("is_contiguous", "stride")
_tensor: Any = torch.Tensor
_DATA = _tensor.data.__get__
_USES = ("use_indexed", "use_torch_update")
_VIEWS = ("T", "mT", "H", "mH", "real", "imag")


class AnalogContext(torch.nn.Parameter):
    """A placeholder of the shape of the weights: it holds x and d of each call until the optimizer steps.

    It has no values of its own, and takes no memory; reading or writing any raises `PlaceholderError`. Read the weights
    with `get_weights()`; or look at them through the context, after `enable_data_view()`.
    """

    analog_tile: Any
    analog_input: list
    analog_grad_output: list
    use_indexed: bool
    use_torch_update: bool
    _mode: AnalogContextDataViewMode = AnalogContextDataViewMode.PLACEHOLDER
    _buffer: Any = None

    def __new__(cls, analog_tile: Any, requires_grad: bool = True) -> "AnalogContext":
        """A context for a tile module."""
        return cls._shaped((analog_tile.out_size, analog_tile.in_size), requires_grad, analog_tile)

    def __init__(self, analog_tile: Any, requires_grad: bool = True) -> None:
        super().__init__()

    @classmethod
    def _shaped(cls, shape: tuple[int, ...], requires_grad: bool, analog_tile: Any = None) -> "AnalogContext":
        return cls._standing(torch.zeros(()).expand(shape), requires_grad, analog_tile)

    @classmethod
    def _standing(cls, zeros: Any, requires_grad: bool, analog_tile: Any) -> "AnalogContext":
        new = torch.Tensor._make_subclass(cls, zeros, requires_grad)
        new.analog_tile = analog_tile
        new.use_indexed = new.use_torch_update = False
        new.reset()
        return new

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Everything that torch does with a context comes here."""
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if name in ("__get__", "__set__"):
            if func == _DATA:
                return args[0]._seen()
            name = getattr(getattr(func, "__self__", None), "__name__", name)
            if name not in _VIEWS and not (name == "data" and len(args) > 1 and not isinstance(args[1], cls)):
                name = "__get__"
        if name in _LAYOUT:  # that of weights, although one zero stands for all of them
            return getattr(torch.empty(tuple(args[0].shape), device="meta"), name)(*args[1:], **kwargs)
        if name not in _METADATA:
            return _on_values(func, name, args, kwargs)
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **kwargs)
            if not isinstance(result, torch.Tensor) or isinstance(result, cls) or result is args[0].grad:
                return result
        # another placeholder, never a tensor of zeros
        new = cls._standing(result, args[0].requires_grad and name != "detach", args[0].analog_tile)
        new._mode, new._buffer = args[0]._mode, args[0]._buffer
        return new._used_as(args[0])

    def _used_as(self, other: "AnalogContext") -> "AnalogContext":
        for name in _USES:
            setattr(self, name, getattr(other, name))
        return self

    @property
    def data_view_mode(self) -> AnalogContextDataViewMode:
        """What functions of torch see: nothing (`PLACEHOLDER`), the weights, or a buffer of the same shape."""
        return self._mode

    @data_view_mode.setter
    def data_view_mode(self, mode: Any) -> None:
        self._mode = AnalogContextDataViewMode(mode.lower() if isinstance(mode, str) else mode)
        buffered = self._mode is AnalogContextDataViewMode.BUFFER
        self._buffer = torch.zeros(tuple(self.shape)) if buffered else None

    def enable_data_view(self) -> "AnalogContext":
        """Let functions of torch see the logical weights (copies: none may write)."""
        self.data_view_mode = AnalogContextDataViewMode.DATA_VIEW
        return self

    def enable_buffer(self) -> "AnalogContext":
        """Let functions of torch work on a buffer, zeros at first, that is no weight."""
        self.data_view_mode = AnalogContextDataViewMode.BUFFER
        return self

    def enable_placeholder(self) -> "AnalogContext":
        """Let functions of torch see nothing."""
        self.data_view_mode = AnalogContextDataViewMode.PLACEHOLDER
        return self

    def get_data(self) -> Any:
        """What functions of torch see. Raises `PlaceholderError` where that is nothing."""
        return self._shown_to("get_data", False)

    def _seen(self) -> Any:
        """`context.data`: a placeholder, the weights as they are now, which can't be written, or the buffer."""
        if self._mode is AnalogContextDataViewMode.BUFFER:
            return self._buffer
        if self._mode is AnalogContextDataViewMode.PLACEHOLDER:
            return PlaceholderDataView(torch.zeros(()).expand(tuple(self.shape)))
        return ReadOnlyWeightView(self.analog_tile.get_weights()[0].detach())

    def _shown_to(self, name: str, writes: bool) -> Any:
        if self._mode is AnalogContextDataViewMode.BUFFER:
            return self._buffer
        if self._mode is AnalogContextDataViewMode.PLACEHOLDER or writes:
            raise PlaceholderError(
                f"{_named(name)}: an analog context only stands for the weights of its chips, and has no values. Read "
                "them with tile.get_weights(), or after context.enable_data_view(); write them with tile.set_weights()."
            )
        return self.analog_tile.get_weights()[0]

    def _raw_data(self) -> Any:
        """The weights on the chip, with the column of a bias, in units of the chip (a copy)."""
        return self.analog_tile.tile.get_weights()

    def reset(self, analog_tile: Any = None) -> None:
        """Forget what was collected."""
        if analog_tile is not None:
            self.analog_tile = analog_tile
        self.analog_input, self.analog_grad_output = [], []

    def set_indexed(self, use_indexed: bool = True) -> None:
        """Say whether inputs are images, of which indices choose the columns."""
        self.use_indexed = use_indexed

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
        new._mode, new._buffer = self._mode, copy.deepcopy(self._buffer, memo)
        return new._used_as(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # the tile goes into the state, not the arguments: it refers back to this context
        collected = {"analog_input": self.analog_input, "analog_grad_output": self.analog_grad_output}
        seen = {"_mode": self._mode, "_buffer": self._buffer} | {name: getattr(self, name) for name in _USES}
        return _rebuilt, (tuple(self.shape), self.requires_grad), {"analog_tile": self.analog_tile, **collected, **seen}

    def __setstate__(self, state: dict) -> None:
        for name, value in state.items():
            setattr(self, name, value)


def _rebuilt(shape: tuple[int, ...], requires_grad: bool) -> AnalogContext:
    return AnalogContext._shaped(shape, requires_grad)


def _on_values(func: Any, name: str, args: Any, kwargs: dict[str, Any]) -> Any:
    """A function of torch on what contexts let it see."""
    writes = name in ("__setitem__", "data") or is_inplace_operation(name)

    def seen(value: Any, is_target: bool = False) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(seen(one, is_target) for one in value)
        return value._shown_to(name, is_target) if isinstance(value, AnalogContext) else value

    first = [seen(args[0], writes)] if args else []
    given = {key: seen(value, key == "out") for key, value in kwargs.items()}
    return func(*first, *map(seen, args[1:]), **given)


def _named(name: str) -> str:
    return "Direct replacement of `data`" if name == "data" else name
