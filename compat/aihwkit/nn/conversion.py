"""From digital models to analog ones."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from analogjax.errors import ConfigError as NativeConfigError
from compat.aihwkit.exceptions import ArgumentError, ConfigError
from compat.aihwkit.nn.modules.base import AnalogLayerBase
from compat.aihwkit.nn.modules.container import AnalogSequential, AnalogWrapper
from compat.aihwkit.nn.table import ANALOG, ROWS, arguments_of
from compat.aihwkit.simulator.parameters.base import RPUConfigBase
from compat.torch_package import torch

RPUConfigGeneric = TypeVar("RPUConfigGeneric", bound=RPUConfigBase)
_CONVERSIONS: dict[type, Any] = ANALOG | {torch.nn.Sequential: AnalogSequential}
_ON_CHIPS = tuple(kind for kind, row in ROWS.items() if row.analog)


def specific_rpu_config_id(module_name: str, module: Any, rpu_config: Any) -> Any:
    """The configuration of a module: the given one."""
    return rpu_config


def convert_to_analog(
    module: Any,
    rpu_config: Any,
    tile_module_class: type | None = None,
    conversion_map: dict[type, Any] | None = None,
    specific_rpu_config_fun: Callable | None = None,
    module_name: str = "",
    ensure_analog_root: bool = True,
    exclude_modules: list[str] | None = None,
    inplace: bool = False,
    verbose: bool = False,
) -> Any:
    """An analog model with the weights of a digital one (a copy, unless `inplace`).

    `torch.nn.Linear`, the convolutions and `Sequential` are converted, by exact type; a module that occurs several
    times is converted once, with the configuration of its first name, and stays one module. Raises `ArgumentError` for
    weights that are tied and would not be any more, and for a module of which only some names are excluded;
    `ConfigError` for a convolution of groups, or with padding that is no number of zeros. Nothing has changed then.
    """
    module = module if inplace else copy.deepcopy(module)
    conversion = _Conversion(
        _CONVERSIONS if conversion_map is None else conversion_map, rpu_config,
        specific_rpu_config_fun or specific_rpu_config_id, tile_module_class, set(exclude_modules or ()), verbose,
    )  # fmt: skip
    conversion.check(module_name, module)
    module = conversion.converted(module_name, module)
    if ensure_analog_root and not isinstance(module, AnalogLayerBase):
        return AnalogWrapper(module)
    return module


def convert_to_digital(
    module: Any, conversion_set: set[type] | None = None, module_name: str = "", inplace: bool = False
) -> Any:
    """A digital model with the weights of an analog one (a copy, unless `inplace`).

    Layers of the classes in `conversion_set` are converted (by default all that can be), by exact type; a layer that
    occurs several times stays one. Raises `ArgumentError` where `conversion_set` is no set of classes that have a
    `to_digital`.
    """
    chosen = {*_ON_CHIPS, AnalogSequential} if conversion_set is None else conversion_set
    if not isinstance(chosen, set) or not all(hasattr(kind, "to_digital") for kind in chosen):
        raise ArgumentError(
            f"convert_to_digital(conversion_set={conversion_set!r}): give a set of analog classes, such as "
            "{AnalogLinear}, each with a to_digital()."
        )
    return _digital(module if inplace else copy.deepcopy(module), chosen, {})


def _digital(part: Any, chosen: set[type], done: dict[int, tuple[Any, Any]]) -> Any:
    if id(part) not in done:
        if not _is_analog(part):
            for name, child in list(part._modules.items()):
                part._modules[name] = None if child is None else _digital(child, chosen, done)
        made = part
        if type(part) in chosen:
            made = type(part).to_digital(part)
            made.train(part.training)
        elif isinstance(part, AnalogWrapper):
            made = part.unwrapped()
        done[id(part)] = (part, made)
    return done[id(part)][1]


@dataclass
class _Conversion:
    known: dict[type, Any]
    rpu_config: Any
    choose: Callable
    tile_module_class: type | None
    excluded: set[str]
    verbose: bool
    done: dict[int, tuple[Any, Any]] = field(default_factory=dict)  # by id: the digital module, and what became of it

    def converted(self, name: str, part: Any) -> Any:
        if name in self.excluded or _is_analog(part):
            return part
        if id(part) not in self.done:
            self.done[id(part)] = (part, self._made(name, part))
        return self.done[id(part)][1]

    def _made(self, name: str, part: Any) -> Any:
        for child_name, child in _children(name, part):
            part._modules[child_name.rpartition(".")[2]] = self.converted(child_name, child)
        if type(part) not in self.known:
            return part
        if self.verbose:
            print(f"converting {name or 'the root'}: {type(part).__name__}")
        config = self.choose(name, part, copy.deepcopy(self.rpu_config))
        return self.known[type(part)].from_digital(part, config, self.tile_module_class)

    def check(self, module_name: str, module: Any) -> None:
        """Raise `ArgumentError` or `ConfigError` for what cannot be converted, before anything has changed."""
        places: dict[int, list[str]] = {}
        modules: dict[int, Any] = {}
        for name, part in self._walk(module_name, module):
            places.setdefault(id(part), []).append(name)
            modules[id(part)] = part
            analog = ANALOG.get(type(part))
            if analog is not None and analog is self.known.get(type(part)) and name not in self.excluded:
                _check_possible(name, part, analog)
        for key, names in places.items():
            left = [name for name in names if name in self.excluded]
            if left and len(left) < len(names) and type(modules[key]) in self.known:
                raise ArgumentError(
                    f"convert_to_analog: {' and '.join(names)} are one module, and only {left[0]} is excluded; exclude "
                    "all of its names, or none."
                )
        self._check_tied(places, modules)

    def _check_tied(self, places: dict[int, list[str]], modules: dict[int, Any]) -> None:
        """Two modules that share a parameter would train apart."""
        owners: dict[int, tuple[str, bool]] = {}
        for key, part in modules.items():
            analog = places[key][0] not in self.excluded and type(part) in self.known
            for name, parameter in part._parameters.items():
                if parameter is None:
                    continue
                where = f"{places[key][0]}.{name}".lstrip(".")
                first, is_analog = owners.setdefault(id(parameter), (where, analog))
                if first != where and (analog or is_analog):
                    raise ArgumentError(
                        f"convert_to_analog: {first} and {where} are one tied parameter, and chips of two layers can't "
                        "be tied. Use one layer in both places, list both in exclude_modules, or untie them first: "
                        "layer.weight = torch.nn.Parameter(layer.weight.detach().clone())."
                    )

    def _walk(self, name: str, part: Any) -> Iterator[tuple[str, Any]]:
        """Every place of every module outside analog ones, with names."""
        yield name, part
        if name in self.excluded or _is_analog(part):
            return
        for child_name, child in _children(name, part):
            yield from self._walk(child_name, child)


def _check_possible(name: str, part: Any, analog: Any) -> None:
    try:
        arguments_of(ROWS[analog], part)
    except NativeConfigError as error:
        where, why = name or "the root", str(error).rstrip(".")
        raise ConfigError(
            f"convert_to_analog: {where} can't be {analog.__name__}: {why}. List it in exclude_modules to leave it "
            "digital."
        ) from None


def _is_analog(part: Any) -> bool:
    return isinstance(part, AnalogLayerBase) and not part.IS_CONTAINER


def _children(name: str, part: Any) -> list[tuple[str, Any]]:
    """The children with full names; torch's own `named_children()` leaves out one that comes again."""
    prefix = f"{name}." if name else ""
    return [(prefix + child, module) for child, module in part._modules.items() if module is not None]
