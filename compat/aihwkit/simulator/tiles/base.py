"""What all tile modules have in common, and what a tile module with a simulator tile of a user's consists of."""

import copy
from collections import OrderedDict
from typing import Any, ClassVar

from compat.aihwkit.exceptions import TileError, TileModuleError
from compat.aihwkit.optim.context import AnalogContext
from compat.aihwkit.simulator.parameters.enums import RPUDataType
from compat.aihwkit.simulator.tiles.pulsed_programming import written_by_pulses
from compat.torch_package import torch
from compat.whole_tensors import tensor_of


class TileModuleBase:
    """What says that a module is a tile module, or an array of such."""


class AnalogTileStateNames:
    """The names of what a tile is in a state dict."""

    VERSION = "aihwkit_version"
    WEIGHTS = "analog_tile_weights"
    HIDDEN_PARAMETERS = "analog_tile_hidden_parameters"
    HIDDEN_PARAMETER_NAMES = "analog_tile_hidden_parameter_names"
    CLASS = "analog_tile_class"
    LR = "analog_lr"
    SHARED_WEIGHTS = "shared_weights"
    CONTEXT = "analog_ctx"
    OUT_SCALING = "out_scaling_alpha"
    MAPPING_SCALES = "mapping_scales"
    RPU_CONFIG = "rpu_config"
    ANALOG_STATE_PREFIX = "analog_tile_state_"
    ANALOG_STATE_NAME = "analog_tile_state"
    EXTRA = "state_extra"

    @staticmethod
    def get_field_names() -> list[str]:
        """All of them."""
        return [name for key, name in vars(AnalogTileStateNames).items() if key.isupper()]


class BaseTile:
    """What is asked of a tile in training."""

    def joint_forward(self, x_input: Any, is_test: bool = False, ctx: Any = None) -> Any:
        """The answers to inputs, in training or in test."""
        raise NotImplementedError

    def backward(self, d_input: Any, ctx: Any = None) -> Any:
        """The errors as they come back."""
        raise NotImplementedError

    def update(self, x_input: Any, d_input: Any) -> None:
        """Change the weights by inputs and errors."""
        raise NotImplementedError


class SimulatorTile:
    """What is asked of a simulator tile: a crossbar without digital surroundings, in units of the chip."""

    def forward(
        self, x_input: Any, bias: bool = False, in_trans: bool = False, out_trans: bool = False, is_test: bool = False,
        non_blocking: bool = False,
    ) -> Any:  # fmt: skip
        """`[..., x] -> [..., d]`."""
        raise NotImplementedError

    def backward(
        self, d_input: Any, bias: bool = False, in_trans: bool = False, out_trans: bool = False,
        non_blocking: bool = False,
    ) -> Any:  # fmt: skip
        """`[..., d] -> [..., x]`."""
        raise NotImplementedError

    def update(
        self, x_input: Any, d_input: Any, bias: bool = False, in_trans: bool = False, out_trans: bool = False,
        non_blocking: bool = False,
    ) -> Any:  # fmt: skip
        """Change the weights by inputs and errors."""
        raise NotImplementedError

    def get_brief_info(self) -> str:
        """A line about it."""
        raise NotImplementedError

    def get_weights(self, as_ref: bool = False) -> Any:
        """The weights `[d, x]`: a copy, or themselves."""
        raise NotImplementedError

    def set_weights(self, weight: Any) -> None:
        """Set the weights `[d, x]`."""
        raise NotImplementedError

    def get_x_size(self) -> int:
        """Columns."""
        raise NotImplementedError

    def get_d_size(self) -> int:
        """Rows."""
        raise NotImplementedError

    def get_hidden_parameters(self) -> Any:
        """Constants and hidden weights `[N, d, x]`; `[0]`: there are none."""
        return torch.empty(0, dtype=torch.float32)

    def get_hidden_parameter_names(self) -> list[str]:
        """Names of these."""
        return []

    def set_hidden_parameters(self, params: Any) -> None:
        """Set these. Raises `TileError` where there are none."""
        if params.numel() > 0:
            raise TileError(f"{type(self).__name__} has no hidden parameters.")

    def get_learning_rate(self) -> float | None:
        """The rate of updates; `None`: it has none."""
        return None

    def set_learning_rate(self, learning_rate: float | None) -> None:
        """Set the rate of updates, where there is one."""

    def dump_extra(self) -> dict[str, Any] | None:
        """All else that has to be remembered; `None`: nothing."""
        return None

    def load_extra(self, extra: dict[str, Any], strict: bool = False) -> None:
        """Set that. Raises `TileError` where there is nothing such."""
        if extra:
            raise TileError(f"{type(self).__name__} has nothing to load: it has no load_extra() of its own.")

    def set_weights_uniform_random(self, bmin: float, bmax: float) -> None:
        """Set weights that are uniform between two values."""
        raise NotImplementedError

    def get_meta_parameters(self) -> Any:
        """What it was configured with."""
        raise NotImplementedError


class SimulatorTileWrapper(BaseTile):
    """Added to a tile module: it makes a simulator tile, and calls its methods, step by step, in torch.

    Put behind `TileModule` and `TileWithPeriphery`, whose constructors are called before and after its own.
    """

    supports_indexed: ClassVar[bool] = False
    tile: Any
    bias: Any
    training: bool
    shared_weights: Any
    # of `TileModule` and `TileWithPeriphery`
    train: Any
    eval: Any
    forward: Any
    compatible_with: Any
    init_input_processing: Any
    get_scales: Any
    set_scales: Any
    pre_forward: Any
    post_forward: Any
    pre_backward: Any
    post_backward: Any
    pre_update: Any
    mapping_scales: Any
    mapping_lr_scale: float = 1.0
    out_scaling_alpha: Any
    reference_combined_weights: Any = None
    non_blocking = False

    def __init__(
        self, out_size: int, in_size: int, rpu_config: Any, bias: bool = True, in_trans: bool = False,
        out_trans: bool = False, torch_update: bool = False, handle_output_bound: bool = False,
        ignore_analog_state: bool = False,
    ) -> None:  # fmt: skip
        self.out_size, self.in_size, self.use_bias = out_size, in_size, bool(bias)
        self.rpu_config = copy.deepcopy(rpu_config)
        self.in_trans, self.out_trans = in_trans, out_trans
        self.handle_output_bound, self.ignore_analog_state = handle_output_bound, ignore_analog_state
        self.shared_weights = None
        self.digital_bias = self.use_bias and rpu_config.mapping.digital_bias
        self.analog_bias = self.use_bias and not self.digital_bias
        self.tile = self._create_simulator_tile(in_size + self.analog_bias, out_size, self.rpu_config)
        self.analog_ctx = AnalogContext(self)
        self.analog_ctx.use_torch_update = torch_update

    def _create_simulator_tile(self, x_size: int, d_size: int, rpu_config: Any) -> Any:
        """The simulator tile of the module."""
        raise NotImplementedError

    def _recreate_simulator_tile(self, x_size: int, d_size: int, rpu_config: Any) -> Any:
        """The simulator tile of another configuration."""
        return self._create_simulator_tile(x_size, d_size, rpu_config)

    # what it is

    @property
    def device(self) -> Any:
        """Where torch sees the tile."""
        return torch.device("cpu")

    @property
    def is_cuda(self) -> bool:
        """Whether torch sees the tile on a GPU."""
        return False

    def get_dtype(self) -> Any:
        """The number type of inputs and outputs."""
        return torch.float32

    def get_runtime(self) -> Any:
        """How the simulation runs."""
        return self.rpu_config.runtime

    def get_data_type(self) -> RPUDataType:
        """The number type of the chips."""
        return RPUDataType.FLOAT

    def get_analog_ctx(self) -> AnalogContext:
        """The parameter that stands for the weights in an optimizer."""
        return self.analog_ctx

    def get_brief_info(self) -> str:
        """What the simulator tile says."""
        return self.tile.get_brief_info().rstrip()

    def set_verbosity_level(self, verbose: int) -> None:
        """Nothing: there is nothing to print."""

    # weights

    def _combine_weights(self, weight: Any, bias: Any = None) -> Any:
        weight = tensor_of(weight).reshape(self.out_size, self.in_size)
        if not self.analog_bias:
            return weight
        column = weight.new_zeros(self.out_size) if bias is None else tensor_of(bias)
        return torch.cat([weight, column.reshape(-1, 1)], 1)

    def _separate_weights(self, combined_weights: Any) -> tuple[Any, Any]:
        if self.analog_bias:
            return combined_weights[:, :-1].clone(), combined_weights[:, -1].clone()
        return combined_weights, None

    @torch.no_grad()
    def set_weights(
        self, weight: Any, bias: Any = None, apply_weight_scaling: bool = True, realistic: bool = False,
        weight_scaling_omega: float | None = None,
    ) -> None:  # fmt: skip
        """Write logical weights and the bias; `realistic`: by pulses."""
        self.reference_combined_weights = None
        if bias is not None and self.digital_bias:
            self.bias.copy_(tensor_of(bias))
        combined = self._combine_weights(weight, bias)
        if apply_weight_scaling:
            combined = self.apply_weight_scaling(combined, weight_scaling_omega)
        self.tile.set_weights(combined)
        if realistic:
            self.program_weights()

    def apply_weight_scaling(self, combined_weights: Any, weight_scaling_omega: float | None = None) -> Any:
        """Weights in units of the chip, the largest of each row (or of all) at `omega`; the scales are set."""
        mapping = self.rpu_config.mapping
        omega = mapping.weight_scaling_omega if weight_scaling_omega is None else weight_scaling_omega
        if omega is None or omega <= 0:
            return combined_weights
        each = mapping.weight_scaling_columnwise
        largest = combined_weights.abs().amax(1) if each else combined_weights.abs().max().reshape(1)
        scales = torch.where(largest == 0, torch.ones_like(largest), largest / omega)
        self.set_scales(scales)
        return combined_weights / scales.reshape(-1, 1)

    @torch.no_grad()
    def get_weights(self, apply_weight_scaling: bool = True, realistic: bool = False) -> tuple[Any, Any]:
        """The logical weights and bias (copies); `realistic` estimates them from noisy products."""
        if realistic:
            return self.read_weights(apply_weight_scaling)
        scales = self.get_scales() if apply_weight_scaling else None
        return self._with_bias_of(self.tile.get_weights(), None if scales is None else scales.detach())

    def _with_bias_of(self, combined: Any, scales: Any) -> tuple[Any, Any]:
        weight, bias = self._separate_weights(combined if scales is None else combined * scales.reshape(-1, 1))
        return weight, self.bias.detach().clone() if self.digital_bias else bias

    @torch.no_grad()
    def read_weights(
        self, apply_weight_scaling: bool = False, x_values: Any = None, over_sampling: int = 10
    ) -> tuple[Any, Any]:
        """The weights as least squares finds them from the answers in test to random (or given) inputs."""
        x = torch.randn(self.in_size * over_sampling, self.in_size) if x_values is None else x_values
        trains = self.training
        self.eval()
        y = self.forward(x)
        self.train(trains)
        y = y if self.bias is None else y - self.bias
        x = torch.cat([x, x.new_ones(len(x), 1)], 1) if self.analog_bias else x
        found, scales = torch.linalg.lstsq(x, y).solution.T.contiguous(), self.get_scales()
        divided = None if apply_weight_scaling or scales is None else 1 / scales.detach()
        return self._with_bias_of(found, divided)

    @torch.no_grad()
    def program_weights(
        self, from_reference: bool = True, x_values: Any = None, learning_rate: float = 0.1, max_iter: int = 10000,
        tolerance: float | None = 0.01, w_init: Any = 0.01,
    ) -> None:  # fmt: skip
        """Write the weights again by pulses, until the chip answers as it should; see `pulsed_programming`."""
        kept = self.reference_combined_weights if from_reference else None
        target = self.tile.get_weights() if kept is None else kept
        self.reference_combined_weights = target
        written_by_pulses(self.tile, target, x_values, learning_rate, max_iter, tolerance, w_init)

    @torch.no_grad()
    def remap_weights(self, weight_scaling_omega: float | None = 1.0) -> None:
        """Write the weights again, the largest as `weight_scaling_omega`."""
        weight, bias = self.get_weights()
        self.set_weights(weight, bias, weight_scaling_omega=weight_scaling_omega)

    @torch.no_grad()
    def set_mapping_scales(self, mapping_scales: Any) -> None:
        """Set the scale of the mapping, one or one for each output (`None`: none)."""
        given: Any = None if mapping_scales is None else tensor_of(mapping_scales).reshape(-1).clone()
        if given is not None and given.numel() not in (1, self.out_size):
            raise TileError(f"{given.numel()} scales for {self.out_size} outputs; give one, or one for each.")
        self.mapping_scales = given
        compensated = given is not None and self.rpu_config.mapping.weight_scaling_lr_compensation
        self.mapping_lr_scale = 1.0 / float(given.mean()) if compensated else 1.0

    # passes

    def joint_forward(self, x_input: Any, is_test: bool = False, ctx: Any = None) -> Any:
        """What is done before the simulator tile, its answer, and what is done after."""
        last = x_input.dim() - 1
        x = self.pre_forward(x_input, 0 if self.in_trans else last, is_test, ctx)
        y = self.tile.forward(x, self.analog_bias, self.in_trans, self.out_trans, is_test, self.non_blocking)
        return self.post_forward(y, 0 if self.out_trans else y.dim() - 1, is_test, ctx)

    def backward(self, d_input: Any, ctx: Any = None) -> Any:
        """What is done before the simulator tile, its answer, and what is done after."""
        d = self.pre_backward(d_input, 0 if self.out_trans else d_input.dim() - 1, ctx)
        x = self.tile.backward(d, self.analog_bias, self.out_trans, self.in_trans, self.non_blocking)
        return self.post_backward(x, 0 if self.in_trans else x.dim() - 1, ctx)

    def update(self, x_input: Any, d_input: Any) -> Any:
        """What is done before the simulator tile, and its update."""
        axes = (0 if self.in_trans else x_input.dim() - 1), (0 if self.out_trans else d_input.dim() - 1)
        x, d = self.pre_update(x_input, axes[0], d_input, axes[1])
        return self.tile.update(x, d, self.analog_bias, self.in_trans, self.out_trans, self.non_blocking)

    def update_and_rest(self, x: list, d: list) -> None:
        """`update` with everything collected, then `post_update_step`."""
        self.update(torch.cat(x), torch.cat(d))
        self.post_update_step()

    def post_update_step(self) -> None:
        """What happens after each step: nothing."""

    def ensure_shared_weights(self, shared_weights: Any = None) -> None:
        """Let the simulator tile hold the weights of torch, where there are any."""
        if shared_weights is not None:
            self.shared_weights = shared_weights
        if self.shared_weights is not None:
            self.tile.set_shared_weights(self.shared_weights.data)

    def set_delta_weights(self, delta_weights: Any = None) -> None:
        """Let updates leave their gradient in a tensor, where the weights are in torch."""
        if self.shared_weights is not None and delta_weights is not None:
            self.tile.set_delta_weights(delta_weights)

    def reset_delta_weights(self) -> None:
        """Let updates change the weights again."""
        if self.shared_weights is not None:
            self.tile.reset_delta_weights()

    def get_learning_rate(self) -> float:
        """The rate of updates."""
        return self.tile.get_learning_rate() / self.mapping_lr_scale

    def set_learning_rate(self, learning_rate: float | None) -> None:
        """Set the rate of updates."""
        if learning_rate is not None:
            self.tile.set_learning_rate(learning_rate * self.mapping_lr_scale)

    # constants, and all of it

    def get_hidden_parameters(self) -> "OrderedDict[str, Any]":
        """The constants and hidden weights of each crosspoint, by name (copies)."""
        values = self.tile.get_hidden_parameters().detach()
        names = self.tile.get_hidden_parameter_names()
        return OrderedDict((name, value.clone()) for name, value in zip(names, values, strict=True))

    @torch.no_grad()
    def set_hidden_parameters(self, ordered_parameters: Any) -> None:
        """Set what `get_hidden_parameters` gave, all of it and in its order; an empty dictionary sets nothing."""
        if len(ordered_parameters) == 0:
            return
        names = self.tile.get_hidden_parameter_names()
        if list(ordered_parameters) != names:
            raise TileError(f"set_hidden_parameters: got {list(ordered_parameters)}; give {names}, in this order.")
        self.tile.set_hidden_parameters(torch.stack(list(ordered_parameters.values())))

    def dump_extra(self) -> dict[str, Any] | None:
        """All else that the simulator tile has to remember."""
        return self.tile.dump_extra()

    def load_extra(self, extra: dict[str, Any], strict: bool = False) -> None:
        """Set that."""
        self.tile.load_extra(extra, strict)

    def found_in(self, state_dict: Any, prefix: str) -> tuple[set[str], Any]:
        """The names in a state dict that stand for the chips, and what takes them from it; `None`: nothing does."""
        name = prefix + AnalogTileStateNames.ANALOG_STATE_NAME
        if name not in state_dict:
            return set(), None
        return set(), lambda: self.take_analog_state(state_dict[name])

    @torch.no_grad()
    def replacing(self, rpu_config: Any) -> Any:
        """What does `replace_with`, when it is called; what is wrong is said now."""
        fits, why = self.compatible_with(rpu_config)
        if not fits:
            raise TileModuleError(f"replace_rpu_config: {why}")
        rpu_config, state = copy.deepcopy(rpu_config), self.get_analog_state()
        new = self._recreate_simulator_tile(self.in_size + self.analog_bias, self.out_size, rpu_config)
        had_range = self.rpu_config.pre_post.input_range.enable

        def act() -> None:
            self.rpu_config, self.tile = rpu_config, new
            self.take_analog_state(state)
            if had_range != rpu_config.pre_post.input_range.enable:
                self.init_input_processing()

        return act

    def get_analog_state(self) -> dict[str, Any]:
        """What a state dict holds of the simulator tile, besides its own parameters and buffers."""
        names, tile = AnalogTileStateNames, self.tile
        return {
            names.WEIGHTS: tile.get_weights(),
            names.HIDDEN_PARAMETERS: tile.get_hidden_parameters().detach(),
            names.HIDDEN_PARAMETER_NAMES: tile.get_hidden_parameter_names(),
            names.CLASS: type(self).__name__,
            names.LR: tile.get_learning_rate(),
            names.EXTRA: tile.dump_extra(),
        }

    @torch.no_grad()
    def take_analog_state(self, state: Any) -> None:
        """Set what `get_analog_state` gave. Raises `TileModuleError`."""
        names, tile = AnalogTileStateNames, self.tile
        if not isinstance(state, dict) or names.WEIGHTS not in state:
            raise TileModuleError(f"this is no state of a {type(self).__name__}.")
        shape = tuple(state[names.WEIGHTS].shape)
        if shape != (tile.get_d_size(), tile.get_x_size()):
            raise TileModuleError(f"weights of shape {shape} for a {type(self).__name__} of {tile.get_brief_info()}.")
        if list(state[names.HIDDEN_PARAMETER_NAMES]) != tile.get_hidden_parameter_names():
            raise TileModuleError("its devices have other hidden parameters than those of the model.")
        tile.set_hidden_parameters(state[names.HIDDEN_PARAMETERS])
        if not state[names.HIDDEN_PARAMETER_NAMES] or not hasattr(tile, "named_hidden_parameters"):
            tile.set_weights(state[names.WEIGHTS])
        tile.set_learning_rate(state[names.LR])
        if state.get(names.EXTRA):
            tile.load_extra(state[names.EXTRA], False)

    def __deepcopy__(self, memo: dict) -> Any:
        # the context refers back to the module: it has to be in the memo before
        new = type(self).__new__(type(self))
        memo[id(self)] = new
        new.__dict__.update(copy.deepcopy(vars(self), memo))
        return new
