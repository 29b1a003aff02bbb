"""Ctrl-C that takes effect only when the run is in a consistent state."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], None]]:
    """Record Ctrl-C inside the block; the returned function raises it when called.

    Raised anywhere else, it could be lost in Orbax's event loop or in a callback of the runtime.
    """
    caught: list[int] = []

    def check() -> None:
        if caught:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield check  # signals never reach this thread
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: caught.append(number))
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
    check()
