"""Arguments of layers and functions as protobuf attributes, both ways."""

from typing import Any, NamedTuple

from analogjax.cloud.wire import schema
from compat.aihwkit.cloud.converter.exceptions import ConversionError

_KINDS = schema.training().AttributeProto


class Type(NamedTuple):
    """How values of a Python type travel: the kind of attribute, and the field that holds them."""

    attribute_type: int
    field: str


TYPES = {
    int: Type(_KINDS.INT, "i"), bool: Type(_KINDS.BOOL, "b"), str: Type(_KINDS.STRING, "s"),
    float: Type(_KINDS.FLOAT, "f"),
}  # fmt: skip
TYPES_LISTS = {
    int: Type(_KINDS.INTS, "ints"), bool: Type(_KINDS.BOOLS, "bools"), str: Type(_KINDS.STRINGS, "strings"),
    float: Type(_KINDS.FLOATS, "floats"),
}  # fmt: skip


class Function:
    """Something with an id and arguments: `args` has the type of each, in a list where it is a list of two."""

    def __init__(self, id_: str, args: dict[str, Any]) -> None:
        self.id_, self.args = id_, args

    def to_proto(self, source: Any, proto_cls: type) -> Any:
        """The message of a module. Raises `ConversionError` for a value that can't travel."""
        made = proto_cls(id=self.id_)
        for name, kind in self.args.items():
            attribute = made.arguments.add(name=name)
            self._write(attribute, kind, self.value_of(source, name))
        return made

    def from_proto(self, source: Any, cls: type) -> Any:
        """The module of a message. Raises `ConversionError` for an argument that is not known."""
        return cls(**self.arguments_of(source))

    def arguments_of(self, source: Any) -> dict[str, Any]:
        """What the message gives, by name."""
        unknown = [argument.name for argument in source.arguments if argument.name not in self.args]
        if unknown:
            raise ConversionError(
                f"{self.id_} has no argument {unknown[0]!r}; it has {', '.join(self.args) or 'none'}."
            )
        return {argument.name: self._read(argument, self.args[argument.name]) for argument in source.arguments}

    def value_of(self, source: Any, name: str) -> Any:
        """An argument of a module."""
        return getattr(source, name)

    def _write(self, attribute: Any, kind: Any, value: Any) -> None:
        if isinstance(value, tuple | list) and not isinstance(kind, list) and len(set(value)) == 1:
            value = value[0]  # a pair of equal numbers, where the protocol has one for both
        try:
            if isinstance(kind, list):
                both = value if isinstance(value, tuple | list) else (value, value)
                attribute.type, field = TYPES_LISTS[kind[0]]
                getattr(attribute, field).extend(kind[0](one) for one in both)
            else:
                attribute.type, field = TYPES[kind]
                setattr(attribute, field, value.encode() if kind is str else kind(value))
        except (TypeError, ValueError, AttributeError):
            raise ConversionError(
                f"{self.id_}({attribute.name}={value!r}) can't be told to the cloud; run it with LocalRunner, or "
                "choose another value."
            ) from None

    def _read(self, attribute: Any, kind: Any) -> Any:
        if isinstance(kind, list):
            return list(getattr(attribute, TYPES_LISTS[kind[0]].field))
        value = getattr(attribute, TYPES[kind].field)
        if kind is str:
            return value.decode("utf-8", "replace")
        # what was meant: 0.01 became 0.009999999776 as a float32
        return float(format(value, ".7g")) if kind is float else value


class LayerFunction(Function):
    """A layer: whether it has a bias, and its configuration, travel in their own way; `presets` are known by name."""

    def __init__(self, id_: str, args: dict[str, Any], presets: dict[type, str] | None = None) -> None:
        super().__init__(id_, args)
        self.presets = {} if presets is None else presets

    def value_of(self, source: Any, name: str) -> Any:
        """An argument of a layer. Raises `ConversionError` for a configuration that is no preset."""
        if name == "bias":
            return source.bias is not None and source.bias is not False
        if name == "weight_scaling_omega":
            return _config(source).mapping.weight_scaling_omega
        if name == "rpu_config":
            return self._preset(_config(source))
        return super().value_of(source, name)

    def _preset(self, config: Any) -> str:
        if type(config) not in self.presets:
            raise ConversionError(
                f"{self.id_}: a configuration travels by the name of its preset, and {type(config).__name__} is none; "
                f"known are {', '.join(self.presets.values())}. Run it with LocalRunner, or use one of these."
            )
        as_named = type(config)()
        if "weight_scaling_omega" in self.args:
            as_named.mapping.weight_scaling_omega = config.mapping.weight_scaling_omega
        if config != as_named:
            raise ConversionError(
                f"{self.id_}: its {type(config).__name__} was changed, and only the name of a preset travels: the "
                "change would be lost. Use the preset as it is, or run it with LocalRunner."
            )
        return self.presets[type(config)]

    def arguments_of(self, source: Any) -> dict[str, Any]:
        """What the message gives, with the configuration made."""
        given = super().arguments_of(source)
        omega = given.pop("weight_scaling_omega", None)
        if "rpu_config" in given:
            named = {name: kind for kind, name in self.presets.items()}
            if given["rpu_config"] not in named:
                raise ConversionError(
                    f"{self.id_}: preset {given['rpu_config'][:60]!r} is unknown; known are {', '.join(named)}."
                )
            given["rpu_config"] = named[given["rpu_config"]]()
            if omega is not None:
                given["rpu_config"].mapping.weight_scaling_omega = omega
        return given


def _config(layer: Any) -> Any:
    return next(layer.analog_tiles()).rpu_config


def build_inverse_mapping(mapping: dict) -> dict:
    """From ids to Python's entities."""
    return {value.id_ if isinstance(value, Function) else value: key for key, value in mapping.items()}
