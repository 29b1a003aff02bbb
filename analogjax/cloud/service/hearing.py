"""A clock that runs only while the service can hear its workers.

Signs of life need the event loop, a free thread and the database. While one of them stands still (a machine that was
asleep, a loop that was kept busy, a database that somebody has locked) nobody is heard, and that is no worker's fault:
so the silence of workers is measured on this clock. It does not know the time of day, so one that is put forward ends
nothing either.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from anyio import to_thread

_TICK = 0.5  # [s] between two proofs that the service hears
log = logging.getLogger("analogjax.cloud")


class Hearing:
    """The clock. `live` keeps it running, on the event loop; any thread may read `time`."""

    def __init__(self, tick: float = _TICK, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._tick, self._monotonic = tick, monotonic
        self._last = monotonic()
        self.time = 0.0  # [s] in which workers could be heard

    async def live(self, probe: Callable[[], None]) -> None:
        """Run until cancelled; `probe` does, on a thread, what every sign of life needs."""
        while True:
            try:
                await to_thread.run_sync(probe, abandon_on_cancel=True)
                self.beat()
            except Exception as error:  # the clock stands still until that has passed
                log.warning("no worker can be heard: %s", error)
            await asyncio.sleep(self._tick)

    def beat(self) -> None:
        """The service hears now. Of a longer gap than two ticks, no more counts: something stood still."""
        now = self._monotonic()
        self.time += min(now - self._last, 2 * self._tick)
        self._last = now
