"""Ctrl-C that waits for a moment when the run is in order."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], None]]:
    """Ctrl-C inside the block is noted; the function given raises it where the run is in order.

    Raised anywhere else it could be lost, in Orbax's event loop or a callback of the runtime.
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
