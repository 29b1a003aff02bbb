r"""Chopped transfers (c-TTv2, AGAD) step by step in torch: two simulator tiles, and a digital matrix between them.

    fast array   A <- A + pulses of (c x, d)
    read         omega = A e_k,   every `transfer_every` vectors one line k more
    buffer       H_k <- H_k + lambda c_k (omega - mu_k^ref),   lambda = lr / granularity
    slow array   C <- C - trunc(H_k) pulses,   H_k <- momentum of what was written

Weights are those of C. A compiled `ChoppedTransferCompound` does the same much faster; this is for looking into it, and
for changing it.
"""

import copy
import math
from typing import Any

from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.simulator.configs.basic import SingleRPUConfig, UnitCellRPUConfig
from compat.aihwkit.simulator.configs.compounds import ChoppedTransferCompound, DynamicTransferCompound
from compat.aihwkit.simulator.tiles.base import SimulatorTile, SimulatorTileWrapper
from compat.aihwkit.simulator.tiles.functions import AnalogFunction
from compat.aihwkit.simulator.tiles.periphery import TileWithPeriphery
from compat.aihwkit.simulator.tiles.tile_module import TileModule
from compat.aihwkit.simulator.tiles.without_periphery import AnalogTileWithoutPeriphery
from compat.torch_package import torch

_COUNTERS = ("update_counter", "chop_counter", "transfer_idx", "m_x", "m_d")
_ARRAYS = ("fast_weight", "slow_weight")


class TransferSimulatorTile(SimulatorTile, torch.nn.Module):
    """A fast array, whose devices and reads are those of a transfer, and a slow one, which holds the weights.

    Attributes:
        grad_tile: The tile module of the fast array.
        weight_tile: That of the slow array.
        hidden_weight: The digital matrix `[lines, others]`, in units of whole steps.
        chopper: Signs of the inputs `[x]`.
    """

    hidden_weight: Any
    chopper: Any
    past_mean_weight: Any
    reference_weight: Any

    def __init__(self, x_size: int, d_size: int, rpu_config: Any, dtype: Any = None) -> None:
        torch.nn.Module.__init__(self)
        cfg = rpu_config.device
        if not isinstance(cfg, ChoppedTransferCompound):
            raise ConfigError(f"{type(self).__name__} is for a ChoppedTransferCompound, not {type(cfg).__name__}.")
        self.x_size, self.d_size, self.device_config, self.learning_rate = x_size, d_size, cfg, 0.1
        self.update_counter = self.chop_counter = self.transfer_idx = 0
        self.m_x = self.m_d = 0.0
        fast, slow = cfg.unit_cell_devices[:2]
        # no submodules: they are no tiles of the model, and what they hold is among the hidden parameters
        made = {
            "grad_tile": _array(d_size, x_size, fast, cfg.transfer_forward, cfg.transfer_forward, rpu_config.update),
            "weight_tile": _array(d_size, x_size, slow, rpu_config.forward, rpu_config.backward, cfg.transfer_update),
        }
        self.__dict__.update(made)
        self.from_weight_granularity = fast.as_bindings(dtype).calc_weight_granularity()
        self.to_weight_granularity = slow.as_bindings(dtype).calc_weight_granularity()
        self.weight_tile.set_learning_rate(cfg.step * self.to_weight_granularity)
        self.t_in_size, self.t_out_size = (x_size, d_size) if cfg.transfer_columns else (d_size, x_size)
        self.register_buffer("hidden_weight", torch.zeros(self.t_in_size, self.t_out_size))
        if isinstance(cfg, DynamicTransferCompound):
            self.register_buffer("past_mean_weight", torch.zeros(self.t_in_size, self.t_out_size))
            self.register_buffer("reference_weight", torch.zeros(self.t_in_size, self.t_out_size))
        self.register_buffer("chopper", torch.ones(x_size))
        self.lr_a_auto_scale = cfg.fast_lr * rpu_config.update.desired_bl * self.from_weight_granularity

    grad_tile: Any
    weight_tile: Any

    # passes

    def forward(
        self, x_input: Any, bias: bool = False, in_trans: bool = False, out_trans: bool = False, is_test: bool = False,
        non_blocking: bool = False,
    ) -> Any:  # fmt: skip
        """`[..., x] -> [..., d]` by the slow array."""
        return self.weight_tile.tile.forward(x_input, bias, in_trans, out_trans, is_test, non_blocking)

    def backward(
        self, d_input: Any, bias: bool = False, in_trans: bool = False, out_trans: bool = False,
        non_blocking: bool = False,
    ) -> Any:  # fmt: skip
        """`[..., d] -> [..., x]` by the slow array."""
        return self.weight_tile.tile.backward(d_input, bias, in_trans, out_trans, non_blocking)

    @torch.no_grad()
    def update(
        self, x_input: Any, d_input: Any, bias: bool = False, in_trans: bool = False, out_trans: bool = False,
        non_blocking: bool = False,
    ) -> None:  # fmt: skip
        """Pulse the fast array, and transfer a line where it is time."""
        cfg = self.device_config
        self._check(cfg, in_trans or out_trans)
        x = torch.cat([x_input, x_input.new_ones(*x_input.shape[:-1], 1)], -1) if bias else x_input
        m_batch = x.shape[0] if x.dim() > 1 else 1
        rate = self._fast_rate(cfg, x, d_input, m_batch)
        self.grad_tile.set_learning_rate(rate)
        self.grad_tile.tile.update(x * self.chopper, d_input)
        self.update_counter += m_batch
        every = math.ceil(cfg.transfer_every * (m_batch if cfg.units_in_mbatch else 1))
        passed = (self.update_counter - m_batch) % every + m_batch
        if passed >= 2 * every:
            raise ConfigError(
                f"{type(self).__name__}: a batch of {m_batch} is more than one transfer; use smaller ones."
            )
        if passed >= every:
            self._transfer(cfg, rate, every)

    def _check(self, cfg: Any, transposed: bool) -> None:
        wrong = {
            "transposed vectors": transposed,
            f"n_reads_per_transfer={cfg.n_reads_per_transfer}": cfg.n_reads_per_transfer != 1,
            f"transfer_every={cfg.transfer_every}": cfg.transfer_every <= 0,
            "experimental_correct_accumulation": getattr(cfg, "experimental_correct_accumulation", False),
            f"out_chop_prob={cfg.out_chop_prob}": cfg.out_chop_prob > 0,
        }
        for name, is_wrong in wrong.items():
            if is_wrong:
                raise ConfigError(f"{type(self).__name__} has no {name}; use the compiled tile (AnalogTile) for that.")

    def _fast_rate(self, cfg: Any, x: Any, d: Any, m_batch: int) -> float:
        """The learning rate of the fast array; `auto_scale` follows the largest inputs and errors."""
        if not cfg.auto_scale:
            return float(cfg.fast_lr)
        tau = (1.0 - cfg.auto_momentum) / m_batch
        self.m_x = (1 - tau) * self.m_x + tau * float(x.abs().max())
        self.m_d = (1 - tau) * self.m_d + tau * float(d.abs().max())
        scaled = self.m_x * self.m_d
        return self.lr_a_auto_scale / scaled if self.m_x > 0.0 and self.m_d > 0.0 else self.lr_a_auto_scale

    def _transfer(self, cfg: Any, rate: float, every: int) -> None:
        self.transfer_idx = k = (self.transfer_idx + 1) % self.t_in_size
        line = torch.eye(self.t_in_size)[k]
        read = self.grad_tile.tile.forward if cfg.transfer_columns else self.grad_tile.tile.backward
        omega, period = read(line), round(1.0 / cfg.in_chop_prob) if cfg.in_chop_prob > 0 else 1
        rate_h = self._buffer_rate(cfg, rate, every)
        learnt = omega
        if isinstance(cfg, DynamicTransferCompound):
            learnt = omega - self.reference_weight[k]
            beta = min(cfg.tail_weightening / period, 1)
            self.past_mean_weight[k] += beta * (omega - self.past_mean_weight[k])
        self.hidden_weight[k] += rate_h * self._sign(k) * learnt
        pulses = -torch.trunc(self.hidden_weight[k])
        if cfg.forget_buffer:
            self.hidden_weight[k][pulses != 0] = cfg.momentum
        else:
            self.hidden_weight[k] += pulses * (1 - cfg.momentum)
        flips = self._flips(cfg, k, period)
        if flips:
            self.chopper[k] = -self.chopper[k]
        if bool(pulses.any()):
            given = (line, pulses) if cfg.transfer_columns else (pulses, line)
            self.weight_tile.tile.update(*given)
        if flips and isinstance(cfg, DynamicTransferCompound):
            self.reference_weight[k] = self.past_mean_weight[k]

    def _sign(self, k: int) -> Any:
        """The signs with which the entries of a line were pulsed: that of the column, or those of all columns."""
        return self.chopper[k] if self.device_config.transfer_columns else self.chopper

    def _buffer_rate(self, cfg: Any, rate: float, every: int) -> float:
        """How much of what is read goes to the buffer, in units of steps of the slow array."""
        granularity = cfg.buffer_granularity if cfg.buffer_granularity > 0.0 else 1.0
        if cfg.auto_granularity > 0.0:
            granularity *= cfg.auto_granularity / (self.t_in_size * every)
        if cfg.correct_gradient_magnitudes:
            return self.learning_rate / (rate * granularity * self.to_weight_granularity)
        return self.learning_rate / (granularity * self.from_weight_granularity)

    def _flips(self, cfg: Any, k: int, period: int) -> bool:
        """Whether the sign of line `k` turns after it was read."""
        if cfg.in_chop_prob <= 0:
            return False
        if cfg.in_chop_random:
            return float(torch.rand(1)) < cfg.in_chop_prob
        if k == 0:
            self.chop_counter = (self.chop_counter + 1) % period
        return self.chop_counter == 0

    def post_update_step(self) -> None:
        """Diffusion and decay of both arrays."""
        self.grad_tile.post_update_step()
        self.weight_tile.post_update_step()

    # weights and constants

    def get_brief_info(self) -> str:
        """The class, and both arrays."""
        return f"{type(self).__name__}({self.extra_repr()})"

    def extra_repr(self) -> str:
        """Both arrays."""
        return f"{self.grad_tile.tile.get_brief_info()} -> {self.weight_tile.tile.get_brief_info()}"

    def get_weights(self, as_ref: bool = False) -> Any:
        """The weights of the slow array `[d, x]` (a copy)."""
        return self.weight_tile.tile.get_weights()

    def set_weights(self, weight: Any) -> None:
        """Write the slow array."""
        self.weight_tile.tile.set_weights(weight)

    def set_weights_uniform_random(self, bmin: float, bmax: float) -> None:
        """Write weights that are uniform between two values."""
        self.weight_tile.tile.set_weights_uniform_random(bmin, bmax)

    def get_x_size(self) -> int:
        """Columns."""
        return self.x_size

    def get_d_size(self) -> int:
        """Rows."""
        return self.d_size

    def get_learning_rate(self) -> float | None:
        """The rate of updates."""
        return self.learning_rate

    def set_learning_rate(self, learning_rate: float | None) -> None:
        """Set the rate of updates."""
        if learning_rate is not None:
            self.learning_rate = learning_rate

    def _digital(self) -> list[str]:
        return [name for name, _ in self.named_buffers() if name.endswith("weight")]

    def get_hidden_parameter_names(self) -> list[str]:
        """Those of both arrays, with `_0` and `_1`, their weights, and the digital matrices."""
        fast, slow = (tile.tile.get_hidden_parameter_names() for tile in (self.grad_tile, self.weight_tile))
        return [*(f"{name}_0" for name in fast), *(f"{name}_1" for name in slow), *_ARRAYS, *self._digital()]

    def get_hidden_parameters(self) -> Any:
        """All of them, `[N, d, x]`."""
        tiles = self.grad_tile.tile, self.weight_tile.tile
        digital = [self._turned(getattr(self, name))[None] for name in self._digital()]
        return torch.cat(
            [*(t.get_hidden_parameters() for t in tiles), *(t.get_weights()[None] for t in tiles), *digital]
        )

    def _turned(self, matrix: Any) -> Any:
        return (matrix.T if self.device_config.transfer_columns else matrix).clone()

    @torch.no_grad()
    def set_hidden_parameters(self, params: Any) -> None:
        """Set what `get_hidden_parameters` gave."""
        given = dict(zip(self.get_hidden_parameter_names(), params, strict=True))
        for k, (module, name) in enumerate(zip((self.grad_tile, self.weight_tile), _ARRAYS, strict=True)):
            tile = module.tile
            own = [given[f"{name_}_{k}"] for name_ in tile.get_hidden_parameter_names()]
            if own:
                tile.set_hidden_parameters(torch.stack(own))
            tile.set_weights(given[name])
        for name in self._digital():
            getattr(self, name).copy_(self._turned(given[name]))

    def dump_extra(self) -> dict[str, Any]:
        """What both arrays remember besides, the counters and the signs."""
        counters = {name: getattr(self, name) for name in _COUNTERS}
        return {
            "weight_tile": self.weight_tile.tile.dump_extra(), "grad_tile": self.grad_tile.tile.dump_extra(),
            "counters": counters, "chopper": self.chopper.tolist(),
        }  # fmt: skip

    def load_extra(self, extra: dict[str, Any], strict: bool = False) -> None:
        """Set what `dump_extra` gave. Raises `RuntimeError` for what is missing."""
        wanted = ("weight_tile", "grad_tile", *(("counters", "chopper") if strict else ()))
        missing = [name for name in wanted if name not in extra]
        if missing:
            raise RuntimeError(f"load_extra: {missing} are missing; give all that dump_extra() gives.")
        self.weight_tile.tile.load_extra(extra["weight_tile"], strict)
        self.grad_tile.tile.load_extra(extra["grad_tile"], strict)
        for name, value in extra.get("counters", {}).items():
            setattr(self, name, value)
        if "chopper" in extra:
            self.chopper.copy_(torch.tensor(extra["chopper"]))

    def get_meta_parameters(self) -> Any:
        """What the slow array was configured with, as bindings."""
        return self.weight_tile.tile.get_meta_parameters()


def _array(d_size: int, x_size: int, device: Any, forward: Any, backward: Any, update: Any) -> Any:
    parts = {"device": device, "forward": forward, "backward": backward, "update": update}
    config = SingleRPUConfig(tile_class=AnalogTileWithoutPeriphery, **copy.deepcopy(parts))
    return AnalogTileWithoutPeriphery(d_size, x_size, config)


class TorchTransferTile(TileModule, TileWithPeriphery, SimulatorTileWrapper):
    """A tile module around a `TransferSimulatorTile`."""

    def __init__(
        self, out_size: int, in_size: int, rpu_config: Any, bias: bool = False, in_trans: bool = False,
        out_trans: bool = False,
    ) -> None:  # fmt: skip
        TileModule.__init__(self)
        SimulatorTileWrapper.__init__(self, out_size, in_size, rpu_config, bias, in_trans, out_trans)
        TileWithPeriphery.__init__(self)

    def _create_simulator_tile(self, x_size: int, d_size: int, rpu_config: Any) -> Any:
        if not isinstance(rpu_config, UnitCellRPUConfig):
            raise ConfigError(f"{type(self).__name__} needs a UnitCellRPUConfig, not a {type(rpu_config).__name__}.")
        return TransferSimulatorTile(x_size, d_size, rpu_config, self.get_data_type())

    def forward(self, x_input: Any, tensor_view: Any = None) -> Any:
        """`[..., I] -> [..., O]`, with learned scale and digital bias."""
        out = AnalogFunction.apply(self.get_analog_ctx(), self, x_input, self.shared_weights, not self.training)
        view = self.get_tensor_view(out.dim()) if tensor_view is None else tensor_view
        out = self.apply_out_scaling(out, view)
        return out + self.bias.view(*view) if self.digital_bias else out

    def post_update_step(self) -> None:
        """Diffusion and decay of both arrays."""
        self.tile.post_update_step()
