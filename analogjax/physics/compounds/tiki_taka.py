r"""Tiki-Taka and its successors, as combinations of the parts of a `Transfer`.

| function    | parts                                          | reference                      |
|-------------|------------------------------------------------|--------------------------------|
| `tiki_taka` | none                                           | doi:10.3389/fnins.2020.00103   |
| `ttv2`      | `WeightBuffer`                                 | doi:10.3389/frai.2021.699148   |
| `c_ttv2`    | `StepBuffer`, `Chopper`                        | doi:10.1038/s41467-024-51221-z |
| `agad`      | `StepBuffer`, `PeriodicChopper`, `RunningMean` | doi:10.1038/s41467-024-51221-z |

All take the fields of `Transfer` and of its parts as keyword arguments: `agad((fast, slow), in_chop_prob=0.05,
auto_scale=True)`.
"""

from collections.abc import Sequence
from typing import Any

from analogjax.physics.compounds.parts.buffer import StepBuffer, WeightBuffer
from analogjax.physics.compounds.parts.cell import as_devices
from analogjax.physics.compounds.parts.chopper import Chopper, PeriodicChopper
from analogjax.physics.compounds.parts.fields import changed
from analogjax.physics.compounds.parts.rates import SINGLE_PULSES, FastRate, Writer
from analogjax.physics.compounds.parts.reference import RunningMean
from analogjax.physics.compounds.parts.schedule import Schedule
from analogjax.physics.compounds.parts.transfer import Transfer

_SINGLY = Writer(transfer_update=SINGLE_PULSES)
_EACH_VECTOR: dict[str, Any] = {
    "schedule": Schedule(units_in_mbatch=False),
    "fast": FastRate(scale_fast_lr=False),
    "writer": _SINGLY,
}


def tiki_taka(devices: Sequence[Any], **fields: Any) -> Transfer:
    """Build a Tiki-Taka device (version 1): what is read from an array is written to the next one at once.

    Args:
        devices: Pulsed devices of the arrays `[K]`, two or more; the last one holds the weights.
        **fields: Fields of `Transfer` and its parts by name.

    Returns:
        The device, for a `TileConfig`.

    Raises:
        ConfigError: If a field is unknown, or a value does not fit.

    Example:
        >>> tiki_taka((SoftBounds(), SoftBounds()), transfer_every=2, fast_lr=0.1)
    """
    return changed(Transfer(devices=as_devices("tiki_taka", devices)), **fields)


def ttv2(devices: Sequence[Any], **fields: Any) -> Transfer:
    """Build a Tiki-Taka version 2 device: a digital buffer between the arrays, written in whole steps.

    Arguments as in `tiki_taka`.
    """
    return changed(Transfer(devices=as_devices("ttv2", devices), buffer=WeightBuffer(), writer=_SINGLY), **fields)


def c_ttv2(devices: Sequence[Any], **fields: Any) -> Transfer:
    """Build a chopped Tiki-Taka device: signs flip, so that a wrong reference averages out.

    With `in_chop_prob=0` it is version 2 with a buffer in units of pulses. Arguments as in `tiki_taka`, for two arrays.
    """
    return changed(
        Transfer(devices=as_devices("c_ttv2", devices), buffer=StepBuffer(), chopper=Chopper(), **_EACH_VECTOR),
        **fields,
    )


def agad(devices: Sequence[Any], **fields: Any) -> Transfer:
    """Build an AGAD device, which measures its reference: it needs no knowledge of the symmetry point.

    Arguments as in `tiki_taka`, for two arrays.
    """
    parts: dict[str, Any] = {"buffer": StepBuffer(), "chopper": PeriodicChopper(), "reference": RunningMean()}
    return changed(Transfer(devices=as_devices("agad", devices), **parts, **_EACH_VECTOR), **fields)
