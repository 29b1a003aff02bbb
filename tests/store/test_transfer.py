"""Trying again and doing several things at a time, without any network."""

import asyncio
import time
from itertools import pairwise

import pytest

from analogjax.store import transfer
from analogjax.store.transfer import Damaged, Retry, each


def test_the_default_is_patient_but_not_for_long():
    retry = Retry()
    longest = sum(min(retry.longest, retry.first * 2**attempt) for attempt in range(retry.attempts - 1))
    assert retry.attempts == 7 and longest < 15


def failing(log, error):
    def act():
        log.append(time.monotonic())
        raise error

    async def act_later():
        act()

    return act, act_later


@pytest.mark.parametrize(("error", "attempts"), [
    (Damaged("x"), 4), (TimeoutError(), 4), (ConnectionResetError(), 4), (OSError(28, "full"), 1), (ValueError(), 1),
    (FileExistsError(), 1), (PermissionError(), 1),
])  # fmt: skip
def test_attempts(error, attempts):
    retry, log = Retry(attempts=4, first=0.001), []
    act, act_later = failing(log, error)
    with pytest.raises(type(error)):
        retry(act)
    with pytest.raises(type(error)):
        asyncio.run(retry.wait_for(act_later))
    assert len(log) == 2 * attempts


class Clock:
    """The module's clock, by which only sleeping takes time."""

    now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_waits_grow_and_end_at_the_deadline(monkeypatch):
    clock, log = Clock(), []
    monkeypatch.setattr(transfer, "time", clock)

    def act():
        log.append(clock.now)
        raise TimeoutError

    with pytest.raises(TimeoutError):
        Retry(attempts=100, first=1, longest=8, deadline=60)(act)
    waits = [after - before for before, after in pairwise(log)]
    for wait, most in zip(waits, [1, 2, 4, 8, 8, 8], strict=False):
        assert most / 2 <= wait <= most
    assert max(waits) <= 8 and 52 < log[-1] <= 60
    log.clear()
    with pytest.raises(TimeoutError):
        Retry(attempts=3)(act)
    assert len(log) == 3


def test_the_first_error_ends_what_has_not_begun():
    begun = []

    def act(number):
        begun.append(number)
        time.sleep(0.02)
        if number == 1:
            raise ZeroDivisionError
        return number

    assert each(lambda number: -number, list(range(20))) == [-number for number in range(20)]
    with pytest.raises(ZeroDivisionError):
        each(act, list(range(100)), threads=4)
    assert len(begun) < 20
