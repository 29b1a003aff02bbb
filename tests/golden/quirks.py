"""Golden cases in which aihwkit departs from its own equations; we keep the equations.

They are strict expected failures: if one begins to pass, the departure was copied, and this list must say why.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import pytest

from tests.golden.catalog import cases

_QUIRKS = {
    "cpp_forward_bm_iterative_no_negative_test": "with bm_test_negative_bound=False, aihwkit lets a later negative hit "
    "clear an earlier positive one and stops with a clipped output; ours goes on until the positive side fits",
    "single_crosspoint_no_management": "aihwkit draws the bits of x and d from libc rand(), whose lag-31 recurrence "
    "correlates them for one input line and 31 slots: its variance is 17 % above the binomial one, which ours has",
    **dict.fromkeys(
        ("transfer_random", "mixedprec_random_row"),
        "aihwkit draws the random line from a linear congruential generator seeded anew for each tile, whose first "
        "draws are far from uniform over tiles (of three rows 798, 356 and 846 of 2000 tiles took each); ours are",
    ),
}


def replays(
    group: str,
    unsupported: Callable[[dict], str | None],
    every: int | None = None,
    always: Collection[str] = (),
    one_by_one: Iterable[str] = (),
) -> list[Any]:
    """Parameters `(name, sequential)` for all cases of a group; those that can't be replayed are skipped with a reason.

    The fast suite has one in `every`, if given, and `always` some; the slow one has the others, for each case is a
    program of its own, and compiling them all takes longer than the rest of the tests. `one_by_one` are
    replayed pulse by pulse too.
    """
    chosen = []
    for n, (name, case) in enumerate(cases(group).items()):
        reason = unsupported(case)
        marks = () if reason is None else (pytest.mark.skip(reason=reason),)
        fast = name in always or (every is not None and n % every == 0)
        chosen.append(_replay(name, *marks) if fast else _replay(name, *marks, pytest.mark.slow))
    return chosen + [_replay(name, pytest.mark.slow, sequential=True) for name in one_by_one]


def _replay(name: str, *marks: Any, sequential: bool = False) -> Any:
    """The parameters of a test for case `name`, marked as a strict expected failure if it is a quirk."""
    if name in _QUIRKS:
        marks = (*marks, pytest.mark.xfail(strict=True, reason=_QUIRKS[name]))
    return pytest.param(name, sequential, marks=marks, id=f"{name}-one-by-one" if sequential else name)
