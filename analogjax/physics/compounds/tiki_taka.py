r"""Tiki-Taka and what came of it, as combinations of the parts of a `Transfer`.

| function    | parts                                          | reference                      |
|-------------|------------------------------------------------|--------------------------------|
| `tiki_taka` | none                                           | doi:10.3389/fnins.2020.00103   |
| `ttv2`      | `WeightBuffer`                                 | doi:10.3389/frai.2021.699148   |
| `c_ttv2`    | `StepBuffer`, `Chopper`                        | doi:10.1038/s41467-024-51221-z |
| `agad`      | `StepBuffer`, `PeriodicChopper`, `RunningMean` | doi:10.1038/s41467-024-51221-z |

All take fields of `Transfer` and of its parts by name: `agad((fast, slow), in_chop_prob=0.05, auto_scale=True)`.
"""

from collections.abc import Sequence
from typing import Any

from analogjax.physics.compounds.parts.buffer import StepBuffer, WeightBuffer
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
    """Version 1: what is read of an array is written to the next one at once.

    Args:
        devices: Pulsed devices of the arrays `[K]`, two or more; the last one holds the weights.
        **fields: Fields of `Transfer` and its parts, by name.

    Returns:
        The device of a configuration.

    Raises:
        ConfigError: For a field that there is not, or a value that does not fit.
    """
    return changed(Transfer(devices=tuple(devices)), **fields)


def ttv2(devices: Sequence[Any], **fields: Any) -> Transfer:
    """Version 2: a digital buffer in between, and whole steps are written. Arguments as of `tiki_taka`."""
    return changed(Transfer(devices=tuple(devices), buffer=WeightBuffer(), writer=_SINGLY), **fields)


def c_ttv2(devices: Sequence[Any], **fields: Any) -> Transfer:
    """Chopped: signs flip, so that a wrong reference averages out. With `in_chop_prob=0` it is version 2 in pulses.

    Arguments as of `tiki_taka`, of two arrays.
    """
    return changed(Transfer(devices=tuple(devices), buffer=StepBuffer(), chopper=Chopper(), **_EACH_VECTOR), **fields)


def agad(devices: Sequence[Any], **fields: Any) -> Transfer:
    """Against a measured reference: needs nothing of the symmetry point. Arguments as of `tiki_taka`, of two arrays."""
    parts: dict[str, Any] = {"buffer": StepBuffer(), "chopper": PeriodicChopper(), "reference": RunningMean()}
    return changed(Transfer(devices=tuple(devices), **parts, **_EACH_VECTOR), **fields)
