"""Methods of aihwkit's tiles that ours do not have: said by name where they are called, refused where they are defined.

A subclass by a user that defines one of them expects to be called. None may be passed over in silence.
"""

import inspect
from typing import Any

from compat.aihwkit.exceptions import TileError, TorchTileConfigError

# what aihwkit calls in each pass; here a compiled function does it all
_INSIDE = frozenset(
    """
    _create_simulator_tile _forward_drift_readout_tensor _recreate_simulator_tile add_quant_periphery_bias
    apply_input_range apply_out_scaling apply_quant_periphery_scales apply_weight_scaling backward backward_indexed
    ensure_shared_weights get_forward_out_bound get_mapping_scales get_scales init_input_processing
    init_learned_out_scales init_mapping_scales init_periph_quant_processing joint_forward joint_forward_indexed
    post_backward post_forward pre_backward pre_forward pre_update reset_delta_weights set_delta_weights
    set_mapping_scales set_scales update_indexed
    """.split()
)
# what programs call from outside
_OUTSIDE = frozenset(
    """
    compatible_with decay_weights diffuse_weights drift_baseline drift_noise_parameters drift_readout_tensor
    dump_extra get_analog_state get_analog_state_name get_backward_parameters get_brief_info get_data_type
    get_forward_parameters get_hidden_update_index get_learned_out_scales get_runtime get_split_sizes
    get_tensor_view input_range is_floating_point is_indexed load_extra mapping_scales program_weights
    programmed_weights reference_combined_weights replace_with reset_columns set_backward_parameters
    set_forward_parameters set_hidden_update_index set_indexed set_input_range set_learned_out_scales
    set_load_rpu_config_state set_verbosity_level
    """.split()
)
# of a simulator tile: what can't be another one, and what is asked in torch, step by step, where a user has it
_FIXED = ("set_weights", "get_weights", "get_x_size", "get_d_size", "weight", "seen", "product")
_ASKED = ("__init__", "forward", "set_config", "register_weight_hook")
_CALLED = ("modify_weight", "clip_weights", "remap_weights")  # of a simulator tile, where a user has them


def refuse_own_methods(tile: Any) -> None:
    """Raise `TileError` where a tile module has a method that would be called in aihwkit, and is not here."""
    own = [name for name in sorted(_INSIDE) if not _is_ours(inspect.getattr_static(tile, name, None))]
    if own:
        raise _never_called(tile, own[0])


def _is_ours(found: Any) -> bool:
    """Whether a method or property is ours, or is not there."""
    return found is None or getattr(getattr(found, "fget", found), "__module__", "").startswith("compat.")


def refuse_patches(tile: Any) -> None:
    """`refuse_own_methods` for what was set on the module since it was made."""
    if not _INSIDE.isdisjoint(vars(tile)):
        raise _never_called(tile, min(_INSIDE.intersection(vars(tile))))


def refuse_own_update(tile: Any, known: Any) -> None:
    """Raise `TileError` where a tile that torch trains has an `update()` of its own, which makes no gradient here."""
    if inspect.getattr_static(tile, "update") is not known:
        raise _never_called(tile, "update")


def refuse_own_simulator(kind: type, known: type) -> None:
    """Raise `TorchTileConfigError` where a simulator tile class has methods of its own that can't be called."""
    for name in _FIXED:
        if _is_own(kind, name):
            raise TorchTileConfigError(
                f"simulator_tile_class={kind.__name__} has its own {name}(), which can't be called: the weights are a "
                "parameter of the tile module. Override forward(), or modify_weight()."
            )


def is_asked(kind: type) -> bool:
    """Whether a simulator tile class has methods of its own for which it has to be asked, in torch."""
    return any(_is_own(kind, name) for name in _ASKED)


def _is_own(kind: type, name: str) -> bool:
    found = next((base for base in kind.__mro__ if name in vars(base)), None)
    return found is not None and not found.__module__.startswith(("compat.", "torch."))


def own_steps(kind: type, known: type) -> set[str]:
    """Which of the methods that are called a simulator tile class has of its own."""
    return {name for name in _CALLED if getattr(kind, name) is not getattr(known, name)}


def said(tile: Any, name: str) -> AttributeError | None:
    """The error for a method that aihwkit's tiles have and ours do not; `None` for other names."""
    if name not in _INSIDE and name not in _OUTSIDE:
        return None
    kind = type(tile).__name__
    return AttributeError(f"{kind}.{name} is not part of analogjax's compat yet.", name=name, obj=tile)


def _never_called(tile: Any, name: str) -> TileError:
    return TileError(
        f"{type(tile).__name__} has its own {name}(), which is never called here: one compiled function does what "
        "aihwkit's tiles do step by step. Override forward() instead."
    )
