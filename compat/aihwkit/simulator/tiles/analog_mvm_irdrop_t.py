"""A matrix-vector product in time, whose wires lose voltage, in torch; see `analogjax.physics.TimedCrossbar`."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from compat import torch_bridge as bridge
from compat.aihwkit.extension import extension_ops as extension_ops
from compat.aihwkit.simulator.parameters.enums import AnalogMVType
from compat.aihwkit.simulator.tiles.analog_mvm import AnalogMVM

_TYPES = (AnalogMVType.ONE_PASS, AnalogMVType.SPLIT_MODE, AnalogMVType.BIT_WISE)


class AnalogMVMIRDropT(AnalogMVM):
    """In test, inputs are pulses whose charge is counted; in training, no voltage is lost."""

    @classmethod
    def _compute_analog_mv(
        cls, weight: Any, input_: Any, trans: bool, scale: Any, scaling: bool, is_test: bool, io_pars: Any,
        phys_input_size: int = 0, g_converter: Any = None, **fwd_pars: Any,
    ) -> tuple[Any, Any]:  # fmt: skip
        """Whether no output was clipped, and the outputs of one read, each of whose passes is converted."""
        u = cls._prepare_input(input_, scale, scaling, io_pars.inp_asymmetry != 0.0, io_pars)
        exact = cls._matmul(weight, u, trans=trans)
        if io_pars.mv_type is AnalogMVType.ONE_PASS and not (is_test and io_pars.ir_drop > 0):
            return cls._finalize_output(exact, io_pars, **fwd_pars)
        p = io_pars.circuit(phys_input_size or int(u.shape[-1]), g_converter.to_native())
        crossbar = p.crossbar if is_test else replace(p.crossbar, ir_drop=0.0)
        w = bridge.to_jax((weight.T if trans else weight).contiguous(), "the weight")
        rows = bridge.to_jax(u.reshape(-1, u.shape[-1]).contiguous())
        total, fits = 0.0, True
        for factor, counts in jax.block_until_ready(crossbar.columns(p.dac, w, rows, {}, bridge.draw_key())):
            y = bridge.copied(jnp.asarray(counts, jnp.float32)).reshape(exact.shape)
            own, part = cls._finalize_output(y, io_pars, **fwd_pars)
            total, fits = total + factor * part, fits and own
        return fits, exact + (total - exact).detach()  # the gradient is that of the exact product

    @classmethod
    def _supported(cls, io_pars: Any) -> Iterator[tuple[str, bool]]:
        for name, fits in super()._supported(io_pars):
            yield name, io_pars.mv_type in _TYPES if name == "mv_type" else fits or name == "ir_drop"
