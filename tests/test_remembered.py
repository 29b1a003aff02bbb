"""`remembered`: equal descriptions give the same thing, and what can't be compared a new one."""

import numpy as np
import pytest

from analogjax._remembered import remembered


def test_equal_arguments_give_the_same_thing() -> None:
    look_up = remembered(lambda given: [given])
    assert look_up((1, "a")) is look_up((1, "a"))
    assert look_up((1, "a")) is not look_up((2, "a"))


def test_only_the_last_few_are_kept() -> None:
    look_up = remembered(lambda given: [given], size=2)
    first = look_up(1)
    look_up(2)
    assert look_up(1) is first
    look_up(3), look_up(4)
    assert look_up(1) is not first


def test_what_cannot_be_hashed_is_made_each_time() -> None:
    look_up = remembered(lambda given: [given])
    for given in ([1], (np.zeros(2),), {"a": 1}):
        assert look_up(given) is not look_up(given)


def test_an_error_in_making_is_not_taken_for_a_missing_hash() -> None:
    calls = []

    def make(given: int) -> None:
        calls.append(given)
        raise TypeError("made wrong")

    look_up = remembered(make)
    for _ in range(2):
        with pytest.raises(TypeError, match="made wrong"):
            look_up(1)
    assert calls == [1, 1]
