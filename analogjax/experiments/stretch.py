"""How many steps a compiled call takes before the outside world is looked at again."""

FIRST = 16
"""Steps of a first call, whose pace is not known yet."""


def after(steps: int, pace: float, seconds: float) -> int:
    """Steps of the next call, for it to take about `seconds`: at most eight times as many as the last one.

    Args:
        steps: Steps that the last call was meant to take.
        pace: Seconds that each of its steps took.
        seconds: Seconds between two looks.
    """
    return max(1, min(8 * steps, int(seconds / max(pace, 1e-6))))
