"""One piece of work at a time on a thread of its own, whose failure can't be missed."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable


class Background:
    """Runs what is handed over while the caller goes on.

    At most one piece of work is under way: `submit` waits for the one before. A failure is raised by the next `submit`,
    `check` or `wait`, once. A program that ends waits for the work first.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def submit(self, work: Callable[[], object]) -> None:
        """Starts `work` when the work before is done. Raises that one's failure instead, if it failed."""
        self.wait()
        _finish_before_exit(self)
        self._thread = threading.Thread(target=self._run, args=(work,), name="analogjax-save")
        self._thread.start()

    def busy(self) -> bool:
        """Whether work is under way."""
        return self._thread is not None and self._thread.is_alive()

    def check(self) -> None:
        """Raises the failure of work that has ended; never waits."""
        if not self.busy():
            self.wait()

    def wait(self) -> None:
        """Returns when no work is under way. Raises its failure."""
        self.join()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def join(self) -> None:
        """Returns when no work is under way, however it ended."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self, work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:  # handed to the caller's thread, whatever it is
            self._failure = error


_waited_for: weakref.WeakSet[Background] = weakref.WeakSet()


def _finish_before_exit(background: Background) -> None:
    """A program that reaches its end waits for the work.

    atexit is too late: by then the thread pools that network clients need take no more work, and the upload would fail.
    Callbacks registered here run in reverse order, so before that of `concurrent.futures`, which registered on import.
    """
    import concurrent.futures.thread  # noqa: F401 - must have registered first

    if not _waited_for:
        threading._register_atexit(_wait_for_all)  # type: ignore[attr-defined]
    _waited_for.add(background)


def _wait_for_all() -> None:
    for background in list(_waited_for):
        background.join()
        if background._failure is not None:
            import sys

            print(f"analogjax: work in the background failed: {background._failure}", file=sys.stderr)
