"""A clock that runs only while the service can hear its workers.

Heartbeats need the event loop, a free thread and the database. While one of them is blocked (a sleeping machine, a busy
loop, a locked database) no worker can be heard, which is not the worker's fault; so the silence of workers is measured
on this clock. It does not depend on the time of day, so setting the clock forward ends nothing either.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from anyio import CapacityLimiter, to_thread

_TICK = 0.5  # [s] between two proofs that the service hears
log = logging.getLogger("analogjax.cloud")


class Hearing:
    """The clock. `live` keeps it running, on the event loop; any thread may read `time`."""

    def __init__(self, tick: float = _TICK, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._tick, self._monotonic = tick, monotonic
        self._last = monotonic()
        self.time = 0.0  # [s] in which workers could be heard

    @property
    def deaf(self) -> float:
        """Time since the last proof that the service hears [s]."""
        return self._monotonic() - self._last

    async def live(self, probe: Callable[[], None], threads: CapacityLimiter | None = None) -> None:
        """Run until cancelled; `probe` does what every sign of life needs, on one of the same `threads`."""
        while True:
            try:
                await to_thread.run_sync(probe, abandon_on_cancel=True, limiter=threads)
                self.beat()
            except Exception as error:  # the clock stands still until that has passed
                log.warning("no worker can be heard: %s", error)
            await asyncio.sleep(self._tick)

    def beat(self) -> None:
        """Note that the service can hear now. A gap longer than two ticks counts as two: something was blocked."""
        now = self._monotonic()
        self.time += min(now - self._last, 2 * self._tick)
        self._last = now
