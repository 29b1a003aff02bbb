"""Which cases of a parametrised test run in which suite: each case is mostly the time to compile it."""

from collections.abc import Iterable
from typing import Any

import pytest


def first_fast(cases: Iterable[Any], fast: int = 1) -> list[Any]:
    """The first `fast` cases for the fast suite; the others are for the slow one."""
    return [case if n < fast else pytest.param(case, marks=pytest.mark.slow) for n, case in enumerate(cases)]
