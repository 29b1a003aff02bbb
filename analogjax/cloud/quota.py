"""What a service allows, and when it gives up."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What the ledger refuses, and when it gives up."""

    queued: int = 10_000  # experiments that may wait or run at a time, of all users
    queued_each: int = 2_000  # of one user
    drafts_each: int = 2_000  # of one user, without an input
    attempts: int = 4  # in a row that end without one more epoch
    lease: float = 30.0  # [s] without a sign of life after which an attempt is given up
    backoff: float = 1.0  # [s] before the second attempt, doubled for each further one
    seconds: float = 86_400.0  # [s] that one experiment may run
