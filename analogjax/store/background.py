"""A single background thread for one task at a time, whose failures can't be missed."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable


class Background:
    """Runs tasks in the background.

    At most one task is running: `submit` waits for the previous one. A failure is raised once, by the next `submit`,
    `check` or `wait`. A program waits for the task before it exits.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def submit(self, work: Callable[[], object]) -> None:
        """Start `work` after the previous task. Raises the failure of that task instead, if it failed."""
        self.wait()
        _finish_before_exit(self)
        self._thread = threading.Thread(target=self._run, args=(work,), name="analogjax-save")
        self._thread.start()

    def busy(self) -> bool:
        """Whether a task is running."""
        return self._thread is not None and self._thread.is_alive()

    def check(self) -> None:
        """Raise the failure of a finished task; never waits."""
        if not self.busy():
            self.wait()

    def wait(self) -> None:
        """Wait until no task is running. Raises its failure."""
        self.join()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def join(self) -> None:
        """Wait until no task is running, however it ended."""
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
    """Wait for the task before the program exits.

    atexit is too late: the thread pools that network clients need accept no more work by then, so the upload would
    fail. Callbacks registered here run in reverse order, i.e. before that of `concurrent.futures`, which registered on
    import.
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
