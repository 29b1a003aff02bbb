r"""Digital models become analog ones, and back, layer by layer.

A converted model runs the digital one, and computes each chosen `linen.Dense` and `linen.Conv` with an analog layer in
its place, at the same path. Layers inside of flax's lifted transformations (`linen.scan`, `linen.RNN`, `linen.vmap`)
are not converted: their analog ones need collections to be lifted, so write these as analog layers.

    dense kernel `[I, O]`              <->  weight `[O, I]`
    conv kernel `[k_1, ..., C, O]`     <->  weight `[O, C k_1 ...]`, as in torch: channel slowest
    with groups `[k_1, ..., C/G, O]`   <->  weights `[G, O/G, C/G k_1 ...]`, each group on chips of its own
"""

from collections.abc import Callable
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
from jax import lax

from analogjax._typing import Array, Key, PyTree
from analogjax.errors import ConfigError
from analogjax.nn.conv import AnalogConv1d, AnalogConv2d, AnalogConv3d
from analogjax.nn.hardware_aware import HARDWARE, TILE, WEIGHT, at, aware_paths, put, with_weights
from analogjax.nn.linear import AnalogLinear
from analogjax.nn.mode import mode
from analogjax.nn.model import Variables, init
from analogjax.tile import HardwareAware, Tile, TileArray, TileConfig

Config = TileConfig | HardwareAware
Rule = Callable[[str, linen.Module], Config | None]
_CONVS = {1: AnalogConv1d, 2: AnalogConv2d, 3: AnalogConv3d}
_AROUND = {"CIRCULAR": "wrap", "REFLECT": "reflect"}  # flax's paddings by other values than zeros, in numpy's words


class Converted(linen.Module):
    """A digital model whose layers are analog where the rule says so; made by `convert_to_analog`."""

    digital: linen.Module
    """The digital model."""
    rule: Rule
    """Configuration for a path and a digital layer; None: it stays digital."""

    def setup(self) -> None:
        linen.share_scope(self, self.digital)  # the same paths as in the digital model

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        made: dict[int, tuple[Any, linen.Module]] = {}  # a layer that is called twice is one analog layer

        def replaced(method: Callable[..., Any], args: tuple, kwargs: dict, context: Any) -> Any:
            layer = context.module
            if context.method_name != "__call__" or not isinstance(layer, (linen.Dense, linen.Conv)):
                return method(*args, **kwargs)
            config = self.rule("/".join(layer.path), layer)
            if config is None:
                return method(*args, **kwargs)
            assert self.scope is not None
            if layer.scope is None or layer.scope.trace_level != self.scope.trace_level:
                raise ConfigError(
                    f"{'/'.join(layer.path)}: is called inside a lifted transformation (linen.scan, RNN, vmap, ...), "
                    "and is not converted there; let the rule return None for it, or write it as an analog layer."
                )
            if id(layer.scope) not in made:
                made[id(layer.scope)] = (layer.scope, _analog(layer, config))
            return made[id(layer.scope)][1](_padded(layer, *args, **kwargs))

        with linen.intercept_methods(replaced):
            return self.digital(*args, **kwargs)


def convert_to_analog(
    model: linen.Module, variables: PyTree, x: Array, config: Config | Rule, *, key: Key
) -> tuple[linen.Module, Variables]:
    """Convert a digital flax model.

    Args:
        model: Any flax (linen) model of `linen.Dense` and `linen.Conv` layers.
        variables: Its trained variables, as `model.init` makes them.
        x: Inputs like those of the model; only shape and dtype matter.
        config: Configuration for all layers; or a rule `(path, layer) -> configuration or None`, where None leaves a
            layer digital.
        key: Consumed. Random are the constants of chips, and how pulsed devices are written.

    Returns:
        The analog model and its variables, which hold the same weights as far as the devices can.

    Raises:
        ConfigError: If a chosen layer has no analog counterpart (masks; groups that are hardware-aware), is inside a
            lifted transformation, or none is chosen.

    Example:
        >>> analog, variables = nn.convert_to_analog(model, trained, x, HardwareAware(), key=random.key(0))
    """
    rule = config if not isinstance(config, (TileConfig, HardwareAware)) else _for_all(config)
    analog = Converted(model, rule)
    k_init, k_write = jax.random.split(key)
    made = init(analog, x, k_init)
    paths = _paths(made)
    if not paths:
        raise ConfigError("convert_to_analog: no layer was chosen; it converts linen.Dense and linen.Conv.")
    others = {name: variables[name] for name in variables if name != "params"}
    new = Variables(variables.get("params", {}), made.tiles, {**made.collections, **others})
    for n, path in enumerate(paths):
        new = _moved(new, _own(made.params, path), path, jax.random.fold_in(k_write, n))
    return analog, new


def convert_to_digital(model: linen.Module, variables: Variables, x: Array) -> tuple[linen.Module, dict[str, PyTree]]:
    """Convert a model that `convert_to_analog` made back, with the weights that its layers have now.

    Args:
        model: The analog model.
        variables: Its variables.
        x: Inputs like those of the model; only shape and dtype matter.

    Returns:
        The digital model, and variables for its `apply`. Learned output scales are multiplied into the weights; input
        ranges are left out.

    Raises:
        ConfigError: If the model was not made by `convert_to_analog`.
    """
    if not isinstance(model, Converted):
        raise ConfigError(
            f"convert_to_digital: got {type(model).__name__}; give a model that convert_to_analog returned."
        )
    shapes = jax.eval_shape(lambda key: model.digital.init(key, x, **mode(model.digital, False)), jax.random.key(0))
    params = variables.params
    for path in _paths(variables):
        params = put(params, path, _digital(variables, path, at(shapes["params"], path)))
    others = {name: tree for name, tree in variables.collections.items() if name != HARDWARE}
    return model.digital, {"params": params, **others}


def _for_all(config: Config) -> Rule:
    return lambda path, layer: config


def _paths(variables: Variables) -> list[tuple[str, ...]]:
    """Paths of all analog layers, pulsed and hardware-aware."""
    flat, _ = jax.tree_util.tree_flatten_with_path(
        variables.tiles, is_leaf=lambda node: isinstance(node, (Tile, TileArray))
    )
    pulsed = {tuple(str(key.key) for key in path[:-1]) for path, _ in flat}
    return sorted(pulsed | set(aware_paths(variables.collections)))


def _analog(layer: Any, config: Config) -> linen.Module:
    """The analog layer in the place of a digital one."""
    of_both: dict[str, Any] = {
        "use_bias": layer.use_bias, "dtype": layer.dtype, "param_dtype": layer.param_dtype, "parent": layer.scope,
    }  # fmt: skip
    if isinstance(layer, linen.Dense):
        return AnalogLinear(layer.features, config, **of_both)
    axes = len(_tuple(layer.kernel_size))
    _check_conv(layer, axes, config)
    return _CONVS[axes](
        layer.features, config, kernel_size=_tuple(layer.kernel_size), strides=_each(layer.strides, axes),
        padding=(0,) * axes, dilation=_each(layer.kernel_dilation, axes), groups=layer.feature_group_count, **of_both,
    )  # fmt: skip


def _check_conv(layer: Any, axes: int, config: Config) -> None:
    where = f"{'/'.join(layer.path)}: {type(layer).__name__}"
    dilated = any(n != 1 for n in _each(layer.input_dilation, axes))
    words = ("SAME", "VALID", *_AROUND, *(["CAUSAL"] if axes == 1 else []))
    for wrong, what in (
        (axes not in _CONVS, f"with a kernel of {axes} axes"),
        (layer.feature_group_count > 1 and isinstance(config, HardwareAware), "with groups and a HardwareAware config"),
        (layer.mask is not None, "with a mask"),
        (dilated, "with input_dilation"),
        (isinstance(layer.padding, str) and layer.padding not in words, f"with padding {layer.padding!r}"),
    ):
        if wrong:
            raise ConfigError(f"{where} {what} has no analog counterpart; let the rule return None for it.")


def _padded(layer: Any, inputs: Array) -> Array:
    """The inputs of a convolution with what its padding adds."""
    if isinstance(layer, linen.Dense):
        return inputs
    axes = len(_tuple(layer.kernel_size))
    strides, dilation = _each(layer.strides, axes), _each(layer.kernel_dilation, axes)
    window = [(k - 1) * d + 1 for k, d in zip(_tuple(layer.kernel_size), dilation, strict=True)]
    padding = layer.padding
    if str(padding) in _AROUND:
        pads = [((size - 1) // 2, size // 2) for size in window]
    elif padding == "CAUSAL":
        pads = [(window[0] - 1, 0)]
    elif isinstance(padding, str):
        pads = lax.padtype_to_pads(inputs.shape[1:-1], window, strides, padding)
    else:
        pads = [(one, one) if isinstance(one, int) else tuple(one) for one in _each(padding, axes)]
    return jnp.pad(inputs, ((0, 0), *pads, (0, 0)), mode=_AROUND.get(str(padding), "constant"))


def _tuple(sizes: Any) -> tuple[int, ...]:
    return (sizes,) if isinstance(sizes, int) else tuple(sizes)


def _each(sizes: Any, axes: int) -> tuple[Any, ...]:
    """One size for each axis; None: 1."""
    if sizes is None:
        return (1,) * axes
    return (sizes,) * axes if isinstance(sizes, int) else tuple(sizes)


def _moved(new: Variables, fresh: dict[str, Array], path: tuple[str, ...], key: Key) -> Variables:
    """The variables with the weights of one digital layer on the chips of its analog one. Consumes `key`."""
    digital = at(new.params, path)
    w = _weight(digital["kernel"])
    own = dict(fresh) | ({"bias": digital["bias"]} if "bias" in fresh else {})
    if "bias" in digital and "bias" not in fresh:
        w = jnp.concatenate([w, digital["bias"][:, None]], axis=1)
    if WEIGHT in fresh:
        collections = with_weights(new.collections, path, w)
        return new.replace(params=put(new.params, path, own | {WEIGHT: w}), collections=collections)
    tile = _written(at(new.tiles, path)[TILE], w, key)
    return new.replace(params=put(new.params, path, own), tiles=put(new.tiles, (*path, TILE), tile))


def _digital(variables: Variables, path: tuple[str, ...], like: dict[str, Any]) -> dict[str, Array]:
    """Kernel and bias of one layer, of the shapes of `like`."""
    own = _own(variables.params, path)
    w = own[WEIGHT] if WEIGHT in own else _read(at(variables.tiles, path)[TILE])
    found = {name: own[name] for name in ("bias",) if name in own}
    scale = own.get("out_scale", jnp.ones((), w.dtype))
    w = w * (scale[:, None] if scale.ndim else scale)
    if "bias" in like and "bias" not in found:
        w, found["bias"] = w[:, :-1], w[:, -1]
    return {"kernel": _kernel(w, like["kernel"].shape), **found}


def _written(tile: Tile | TileArray, w: Array, key: Key) -> Tile | TileArray:
    """Chips with weights `[O, I]` on them; of stacked ones, each with the rows of its group. Consumes `key`."""
    if not tile.stack:
        return tile.write(w, key)
    (groups,) = tile.stack
    rows = w.reshape(groups, w.shape[0] // groups, w.shape[1])
    return jax.vmap(lambda tile, w, key: tile.write(w, key))(tile, rows, jax.random.split(key, groups))


def _read(tile: Tile | TileArray) -> Array:
    """Weights `[O, I]`, those of groups below one another."""
    w = tile.read()
    return w.reshape(-1, w.shape[-1])


def _own(params: PyTree, path: tuple[str, ...]) -> dict[str, Array]:
    """The parameters of a layer; a pulsed one may have none."""
    for name in path:
        params = params.get(name, {})
    return params


def _weight(kernel: Array) -> Array:
    """`[k_1, ..., C, O] -> [O, C k_1 ...]`."""
    return jnp.moveaxis(kernel, (-1, -2), (0, 1)).reshape(kernel.shape[-1], -1)


def _kernel(w: Array, shape: tuple[int, ...]) -> Array:
    """`[O, C k_1 ...] -> [k_1, ..., C, O]`."""
    return jnp.moveaxis(w.reshape(shape[-1], shape[-2], *shape[:-2]), (0, 1), (-1, -2))
