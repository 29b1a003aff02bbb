"""Which parts of a transfer fit together: what is refused because of more than one field."""

from typing import Any

from analogjax._pytree import is_off, is_static
from analogjax.errors import ConfigError
from analogjax.physics.checks import check, check_number, check_numbers
from analogjax.physics.compounds.parts import cell
from analogjax.physics.compounds.parts.buffer import StepBuffer, WeightBuffer
from analogjax.physics.compounds.parts.chopper import Chopper, PeriodicChopper
from analogjax.physics.compounds.parts.rates import FastRate, Writer
from analogjax.physics.compounds.parts.reader import Reader
from analogjax.physics.compounds.parts.reference import RunningMean
from analogjax.physics.compounds.parts.schedule import Schedule
from analogjax.physics.compounds.parts.warm_start import WarmStart

_KINDS: dict[str, tuple[type, ...]] = {
    "schedule": (Schedule,), "reader": (Reader,), "fast": (FastRate,), "writer": (Writer,),
    "buffer": (WeightBuffer, StepBuffer, type(None)), "chopper": (Chopper, PeriodicChopper, type(None)),
    "reference": (RunningMean, type(None)), "warm_start": (WarmStart, type(None)),
}  # fmt: skip


def check_transfer(transfer: Any) -> None:
    """Raise `ConfigError` if the parts, devices and weights of a `Transfer` do not fit together."""
    for name, kinds in _KINDS.items():
        needs = " or ".join(kind.__name__ for kind in kinds if kind is not type(None))
        check(transfer, isinstance(getattr(transfer, name), kinds), name, f"is a part: give a {needs}.")
    cell.check_devices(transfer)
    _check_devices(transfer)
    _check_numbers_of_each(transfer)
    _check_chopped(transfer)
    _check_buffered(transfer)
    if transfer.warm_start is not None:
        learning = all(gamma > 0 for gamma in transfer.gammas)
        check(transfer, learning, "gamma", "every array is part of the weight: above 0.")
        check(transfer, transfer.chopper is None, "warm_start", "can't be combined with choppers.")


def _check_devices(transfer: Any) -> None:
    devices, update = transfer.devices, transfer.writer.transfer_update
    if len(devices) < 2:
        raise ConfigError(f"Transfer(devices=...): has {len(devices)}; needs two or more devices.")
    cell.check_pulsed("Transfer", devices, written=True)
    pulsed = update.pulse_type.pulsed or not any(hasattr(device, "devices") for device in devices[1:])
    check(update, pulsed, "pulse_type", "transfer_update writes to a device made of devices, which needs pulses.")
    if transfer.schedule.transfer_every < 0:
        first = devices[0]
        plain = all(is_static(getattr(first, name, None)) for name in ("w_max", "w_min", "granularity"))
        needs = "below 0 counts the states of the first device: it needs plain numbers for w_max, w_min and dw_min."
        check(transfer.schedule, plain and hasattr(first, "w_max"), "transfer_every", needs)


def _check_numbers_of_each(transfer: Any) -> None:
    n = len(transfer.devices)
    check(transfer, is_static(transfer.gamma), "gamma", "is part of the program: give a plain number.")
    check_number(transfer, "gamma")
    check_numbers(transfer, "gamma_vec")
    plain = is_static(transfer.gamma_vec)
    check(transfer, plain, "gamma_vec", "is part of the program: give a tuple of plain numbers.")
    for part, name in (
        (transfer, "gamma_vec"),
        (transfer.schedule, "transfer_every_vec"),
        (transfer.writer, "transfer_lr_vec"),
    ):
        check(part, len(getattr(part, name)) in (0, n), name, f"needs one number for each of the {n} devices.")
    check(transfer, transfer.gammas[-1] != 0, "gamma_vec", "the last array holds the written weights: not 0.")


def _check_chopped(transfer: Any) -> None:
    schedule, chopper, reference = transfer.schedule, transfer.chopper, transfer.reference
    if chopper is not None or reference is not None or schedule.transfer_every < 0:
        n = len(transfer.devices)
        check(transfer, n == 2, "devices", "choppers, a reference and transfer_every < 0 go with exactly two arrays.")
    chopped = reference is None or chopper is not None
    check(transfer, chopped, "reference", "is measured between two flips: add a chopper, e.g. with probability 0.")
    if chopper is not None:
        reader = transfer.reader
        for name, plain in (("n_reads_per_transfer", 1), ("random_selection", False), ("with_reset_prob", 0)):
            in_turn = is_static(getattr(reader, name)) and getattr(reader, name) == plain
            check(reader, in_turn, name, f"choppers need one line at a time, in order, not reset: give {plain}.")
        check(schedule, schedule.no_self_transfer, "no_self_transfer", "choppers need it: give True.")
    if reference is not None:
        plain = is_static(chopper.in_chop_prob)
        check(chopper, plain, "in_chop_prob", "is the period of the reference: give a plain number.")
        shown = not reference.in_weight or transfer.gammas[0] != 0
        check(reference, shown, "in_weight", "the first array has no weight: give gamma other than 0, or False.")


def _check_buffered(transfer: Any) -> None:
    schedule, buffer = transfer.schedule, transfer.buffer
    behind = buffer is None or schedule.no_self_transfer
    check(schedule, behind, "no_self_transfer", "the last array has no buffer behind it: leave it True.")
    if isinstance(buffer, StepBuffer) and schedule.transfer_every == 0 and schedule.transfer_every_vec:
        known = is_off(buffer.auto_granularity)
        counts = "auto_granularity counts the vectors of a pass by it, also beside transfer_every_vec: give 1 or more."
        check(schedule, known, "transfer_every", counts)
    if transfer.reference is not None and not isinstance(buffer, StepBuffer):
        plain = not transfer.reference.experimental_correct_accumulation
        check(transfer.reference, plain, "experimental_correct_accumulation", "corrects a StepBuffer: use one.")
