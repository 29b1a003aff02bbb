r"""RIDER and E-RIDER: residual learning that tracks the symmetry point of the array that collects the gradient.

    the gradient is taken at   Wbar = W + gamma c (P - Q~)
    P <- P - alpha c grad      (pulses; drifts to its symmetry point by itself)
    Q <- (1 - eta) Q + eta P   (digital; a low-pass filter, so that what flips with c averages out)
    W <- W + beta c (P - Q~)   (pulses)

`c` are choppers that flip periodically, or at random with `in_chop_random`. `Q~` is Q at their last flip (E-RIDER) or,
without choppers, Q itself (RIDER); `eta = tail_weightening / period`. `P` is the first array, `W` the second; lines are
read in turn, through a buffer. AGAD is the same with gamma = 0: its gradient is taken at W alone. The paper stores Q~
in a third array, which is rewritten at each flip; here it is exact.

Reference: Xiao, Li, Wu, Gokmen & Chen 2026, arXiv:2602.21321 (defaults: its table 5).
"""

from collections.abc import Sequence
from typing import Any

from analogjax.physics.compounds.parts.buffer import StepBuffer
from analogjax.physics.compounds.parts.cell import as_devices
from analogjax.physics.compounds.parts.chopper import Chopper
from analogjax.physics.compounds.parts.fields import changed
from analogjax.physics.compounds.parts.rates import SINGLE_PULSES, FastRate, Writer
from analogjax.physics.compounds.parts.reference import RunningMean
from analogjax.physics.compounds.parts.schedule import Schedule
from analogjax.physics.compounds.parts.transfer import Transfer


def e_rider(devices: Sequence[Any], **fields: Any) -> Transfer:
    """Build an E-RIDER device.

    Args:
        devices: Pulsed devices of the two arrays, P and W.
        **fields: Fields of `Transfer` and its parts by name, such as `in_chop_prob=0.05` or `gamma=0.1`.

    Returns:
        The device, for a `TileConfig`.

    Raises:
        ConfigError: If a field is unknown, or a value does not fit.
    """
    return changed(
        Transfer(
            devices=as_devices("e_rider", devices),
            gamma=0.1,
            schedule=Schedule(transfer_every=1.0, units_in_mbatch=True),
            fast=FastRate(fast_lr=0.5, scale_fast_lr=False),
            writer=Writer(transfer_lr=0.05, scale_transfer_lr=False, transfer_update=SINGLE_PULSES),
            buffer=StepBuffer(auto_granularity=1000.0),
            chopper=Chopper(in_chop_prob=0.05, in_chop_random=False),
            reference=RunningMean(in_weight=True, after_a_period=False),
        ),
        **fields,
    )


def rider(devices: Sequence[Any], **fields: Any) -> Transfer:
    """Build a RIDER device: no choppers, and the running mean itself is the reference. Arguments as in `e_rider`.

    The period is 2 where nothing flips: `eta = tail_weightening / 2`.
    """
    mean = RunningMean(tail_weightening=0.5, in_weight=True, at_flips=False, after_a_period=False)
    return changed(e_rider(devices, chopper=Chopper(in_chop_prob=0.0), reference=mean), **fields)
