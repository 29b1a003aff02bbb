"""Containers of analog layers."""

from collections import OrderedDict
from types import new_class
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from compat.aihwkit.exceptions import ModuleError
from compat.aihwkit.nn.modules.base import AnalogLayerBase
from compat.torch_package import torch


class AnalogContainerBase(AnalogLayerBase):
    """Added to a container: weights of all tiles at once."""

    IS_CONTAINER: bool = True

    def get_weights(self, **kwargs: Any) -> "OrderedDict[str, tuple[Any, Any]]":
        """Weights and bias of each tile, by name."""
        return OrderedDict((name, tile.get_weights(**kwargs)) for name, tile in self.named_analog_tiles())

    def set_weights(self, weights_dic: Any, bias: Any = None, **kwargs: Any) -> None:  # type: ignore[override]
        """Write weights and bias of each tile, as `get_weights` gave them."""
        for name, tile in self.named_analog_tiles():
            if name not in weights_dic:
                raise ModuleError(f"no weights are given for the tile {name!r}.")
            tile.set_weights(*weights_dic[name], **kwargs)


def _children(module: Any) -> "OrderedDict[str, Any]":
    """The children by name; torch's own `named_children()` leaves out one that comes again."""
    return OrderedDict(module._modules)


class AnalogSequential(AnalogContainerBase, torch.nn.Sequential):  # type: ignore[misc]
    """Layers in a row."""

    @classmethod
    def from_digital(cls, module: Any, *args: Any, **kwargs: Any) -> "AnalogSequential":
        """The same layers in an analog container."""
        return cls(_children(module))

    @classmethod
    def to_digital(cls, module: Any, *args: Any, **kwargs: Any) -> Any:
        """The same layers in torch's container."""
        return torch.nn.Sequential(_children(module))


class AnalogWrapper(AnalogContainerBase):
    """Any torch module, with the ways to its analog layers added; it shares everything with the one given."""

    # one registry for all; a class that nobody uses any more may go
    SUBCLASSES: ClassVar[WeakValueDictionary[tuple[type, type], type]] = WeakValueDictionary()

    def __new__(cls, module: Any = None, **__: Any) -> "AnalogWrapper":
        """An instance of a subclass of this class and of the module's."""
        return super().__new__(cls if module is None else cls._with(type(module)))

    def __init__(self, module: Any) -> None:
        self.__dict__.update(module.__dict__)

    @classmethod
    def _with(cls, digital: type) -> type:
        kind = cls.SUBCLASSES.get((cls, digital))
        if kind is None:
            kind = new_class(f"{cls.__name__}{digital.__name__}", (cls, digital), {})
            cls.SUBCLASSES[cls, digital] = kind
        return kind

    def unwrapped(self) -> Any:
        """The module as one of its own class; it shares everything with this one."""
        kind: Any = type(self).__bases__[1]
        module = kind.__new__(kind)
        module.__dict__.update(self.__dict__)
        return module

    def __reduce__(self) -> Any:
        # the subclass is in no module that it could be imported from; its two bases are
        return _empty, type(self).__bases__, self.__getstate__()


def _empty(cls: Any, digital: type) -> Any:
    """A wrapper of a class of modules, before it has its state."""
    kind = cls._with(digital)
    return kind.__new__(kind)
