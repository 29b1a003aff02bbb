"""Progress of long work: a bar on a terminal or in a notebook, a line every so often in a log."""

import sys
import time
from typing import TextIO

from tqdm import tqdm

_EVERY = 60.0  # [s] between two lines of a log


class Progress:
    """Counts steps, and shows how many are done and how long the rest will take.

    On a terminal and in notebooks it is a bar, which appears if the work takes longer than two seconds. Elsewhere it is
    a line on standard error after each minute, so that short work writes nothing.
    """

    def __init__(
        self, what: str, total: int | None, unit: str = "step", *, done: int = 0, shown: bool | None = None,
        every: float = _EVERY, out: TextIO | None = None,
    ) -> None:  # fmt: skip
        """Begin.

        Args:
            what: What the work is called.
            total: Steps of all the work; None: unknown.
            unit: What a step is called.
            done: Steps that were done before.
            shown: Show it; None: as a bar or as lines, depending on where standard error leads.
            every: Time between two lines [s].
            out: Where to write; None: standard error.
        """
        out = sys.stderr if out is None else out
        bar = shown is True or (shown is None and _is_watched(out))
        self.what, self.total, self.unit, self.done, self.out = what, total, unit, done, out
        self._every = None if shown is False or bar else every
        self._begun = self._told = time.monotonic()
        self._before = done
        self._bar = tqdm(
            total=total, initial=done, unit=unit, desc=what, disable=not bar, leave=False, delay=2.0, file=out
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._bar.close()

    def advance(self, steps: int, note: str = "") -> None:
        """Count steps that are done; `note` says what else is known, such as how many runs have ended."""
        self.done += steps
        if note:
            self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(steps)
        now = time.monotonic()
        if self._every is not None and now - self._told >= self._every:
            self._told = now
            print(self.line(now, note), file=self.out, flush=True)

    def line(self, now: float, note: str = "") -> str:
        """The state of the work as one line."""
        rate = (self.done - self._before) / max(now - self._begun, 1e-9)
        if self.total is None:
            return f"{self.what}: {self.done} {self.unit}s" + (f", {note}" if note else "")
        left = (self.total - self.done) / rate if rate > 0 else None
        parts = [f"{self.done} of {self.total} {self.unit}s ({self.done / max(self.total, 1):.0%})", note]
        parts += [f"about {_in_words(left)} left"] if left is not None else []
        return f"{self.what}: " + ", ".join(part for part in parts if part)


def _is_watched(out: TextIO) -> bool:
    """Whether a person sees what is overwritten: on a terminal or in a notebook."""
    kernel = "ipykernel" in sys.modules and "IPython" in sys.modules
    return out.isatty() or (kernel and sys.modules["IPython"].get_ipython() is not None)


def _in_words(seconds: float) -> str:
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
