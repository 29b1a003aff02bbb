"""A matrix-vector product with converters, in torch: what simulator tiles of users' own torch code compute with.

It has the physics and the habits of aihwkit's torch tile (see `compat.whole_batch`), and its gradients: rounding passes
them as they are, clipped signals pass none.
"""

from collections.abc import Iterator
from typing import Any

from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.simulator.parameters.enums import (
    AnalogMVType,
    BoundManagementType,
    NoiseManagementType,
    WeightNoiseType,
)
from compat.aihwkit.simulator.tiles.utils import UniformQuantize
from compat.torch_package import torch

_INFINITE = float("inf")
_OFF = (
    "w_noise", "ir_drop", "out_nonlinearity", "slope_calibration", "v_offset_std", "v_offset_w_min", "r_series",
    "w_read_asymmetry_dtod",
)  # fmt: skip


class AnalogMVM:
    """The product, as class methods; subclasses may have steps of their own."""

    @classmethod
    def matmul(
        cls, weight: Any, input_: Any, io_pars: Any, trans: bool = False, is_test: bool = False, **fwd_pars: Any
    ) -> Any:
        """`[..., I]` times weights `[O, I]` (or `[B, O, I]` for each sample), transposed where `trans`.

        A batch is read again, with inputs of half the size, as long as an output is clipped and bounds are managed.
        `fwd_pars` may have `out_noise_values`, the output noise of each output.
        """
        if io_pars.is_perfect or io_pars.mv_type is AnalogMVType.IDEAL:
            return cls._matmul(weight, input_, trans)
        alpha = cls._compute_noise_management(input_, io_pars.noise_management, io_pars)
        if isinstance(alpha, torch.Tensor):
            if io_pars.inp_noise <= 0.0 and bool((alpha == 0.0).all()):
                return input_.new_zeros((*input_.shape[:-1], weight.shape[-1 if trans else -2]))
            alpha = torch.where(alpha <= 0.0, torch.ones_like(alpha), alpha)
        rho, fits, managed = 1.0, False, io_pars.bound_management is not BoundManagementType.NONE
        while not fits:
            scale = 1.0 / (alpha * rho)
            fits, y = cls._compute_analog_mv(
                weight=weight, input_=input_, trans=trans, scale=scale, scaling=True,
                is_test=is_test, io_pars=io_pars, **fwd_pars,
            )  # fmt: skip
            fits = bool(fits) or not managed or rho > cls._largest_factor(io_pars)
            last, rho = scale, 2 * rho
        return y * (io_pars.out_scale / last)

    @classmethod
    def _largest_factor(cls, io_pars: Any) -> float:
        """The factor from which on inputs are not made smaller: there would be too few steps, or it is enough."""
        if io_pars.inp_res <= 0:
            return io_pars.max_bm_factor
        step = (1 / io_pars.inp_res if io_pars.inp_res > 1.0 else io_pars.inp_res) * 2.0 * io_pars.inp_bound
        return min(io_pars.max_bm_factor, io_pars.max_bm_res / step)

    @classmethod
    def _matmul(cls, weight: Any, input_: Any, trans: bool = False) -> Any:
        """The exact product."""
        each = weight if trans else weight.transpose(-1, -2)
        if weight.ndim == 3 and input_.ndim == 2:
            return torch.bmm(input_[:, None, :], each)[:, 0, :]
        return input_ @ each

    @classmethod
    def _compute_analog_mv(
        cls, weight: Any, input_: Any, trans: bool, scale: Any, scaling: bool, is_test: bool, io_pars: Any,
        **fwd_pars: Any,
    ) -> tuple[Any, Any]:  # fmt: skip
        """Whether no output was clipped, and the outputs of one read of `scale` times the inputs."""
        u = cls._prepare_input(input_, scale, scaling, io_pars.inp_asymmetry != 0.0, io_pars)
        if io_pars.mv_type is not AnalogMVType.ONE_PASS:
            raise ConfigError(f"mv_type={io_pars.mv_type} is not part of a product in torch; use ONE_PASS or IDEAL.")
        return cls._finalize_output(cls._matmul(weight, u, trans=trans), io_pars, **fwd_pars)

    @classmethod
    def _prepare_input(cls, input_: Any, scale: Any, scaling: bool, with_asymmetry: bool, io_pars: Any) -> Any:
        """Inputs as they come out of the DAC."""
        u = input_ * scale if scaling else input_.clone()
        if io_pars.inp_res > 0:
            u = UniformQuantize.apply(u, io_pars.inp_res, io_pars.inp_bound, io_pars.inp_sto_round)
        bound = io_pars.inp_bound if io_pars.inp_bound > 0 else _INFINITE
        u = torch.where(u.abs() <= bound, u, u.clamp(-bound, bound).detach())
        if io_pars.inp_noise > 0.0:
            u = u + io_pars.inp_noise * torch.randn_like(u)
        return torch.where(u < 0, u * (1.0 - io_pars.inp_asymmetry), u) if with_asymmetry else u

    @classmethod
    def _finalize_output(
        cls, out_values: Any, io_pars: Any, out_noise_values: Any = None, **kwargs: Any
    ) -> tuple[Any, Any]:
        """Whether no output was clipped, and the outputs as they come out of the ADC."""
        y, bound = out_values, io_pars.out_bound if io_pars.out_bound > 0 else _INFINITE
        if io_pars.out_asymmetry != 0.0:
            y = torch.where(y < 0, y * (1.0 - io_pars.out_asymmetry), y)
        if out_noise_values is not None:
            y = y + torch.randn_like(y) * out_noise_values.view(*(1,) * (y.ndim - 1), -1)
        elif io_pars.out_noise > 0.0:
            y = y + io_pars.out_noise * torch.randn_like(y)
        if io_pars.out_res > 0:
            y = UniformQuantize.apply(y, io_pars.out_res, io_pars.out_bound, io_pars.out_sto_round)
        fits = bool((y.abs() <= bound).all()) or io_pars.bound_management is BoundManagementType.NONE
        return fits, y.clamp(-bound, bound)

    @classmethod
    def _compute_noise_management(cls, input_: Any, nm_type: Any, io_pars: Any, axis: int = -1) -> Any:
        """What inputs are divided by: 1, a number, or one for each vector `[..., 1]`."""
        if nm_type is NoiseManagementType.NONE:
            return 1.0
        if nm_type is NoiseManagementType.CONSTANT:
            return io_pars.nm_thres if io_pars.nm_thres > 0.0 else 1.0
        if nm_type not in (NoiseManagementType.ABS_MAX, NoiseManagementType.MAX):
            raise ConfigError(f"noise_management={nm_type} is not part of a product in torch; use ABS_MAX.")
        largest = (input_.abs() if nm_type is NoiseManagementType.ABS_MAX else input_).amax(axis, keepdim=True)
        return largest.clamp(max=io_pars.nm_thres) if io_pars.nm_thres > 0.0 else largest

    @classmethod
    def check_support(cls, io_pars: Any) -> None:
        """Raise `ConfigError` naming the first setting that such a product does not have."""
        for name, fits in cls._supported(io_pars):
            if not fits:
                raise ConfigError(
                    f"{type(io_pars).__name__}({name}={getattr(io_pars, name)}) is not part of a product in torch."
                )

    @classmethod
    def _supported(cls, io_pars: Any) -> Iterator[tuple[str, bool]]:
        unmanaged = (NoiseManagementType.AVERAGE_ABS_MAX, NoiseManagementType.ABS_MAX_NP_SUM)
        yield "mv_type", io_pars.mv_type is AnalogMVType.ONE_PASS
        yield "bound_management", io_pars.bound_management is not BoundManagementType.SHIFT
        yield "noise_management", io_pars.noise_management not in unmanaged
        yield "w_noise_type", io_pars.w_noise_type is WeightNoiseType.NONE
        yield from ((name, getattr(io_pars, name) <= 0.0) for name in _OFF)
