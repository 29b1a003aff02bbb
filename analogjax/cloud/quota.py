"""Limits of a service."""

from dataclasses import dataclass

from analogjax._field_docs import document_fields


@document_fields
@dataclass(frozen=True)
class Limits:
    """Limits that the service enforces, and times after which it gives up."""

    queued: int = 10_000
    """Experiments waiting or running at a time, of all users together."""
    queued_each: int = 2_000
    """The same for one user."""
    drafts_each: int = 2_000
    """Experiments of one user that were never submitted."""
    stored_each: int = 20 * 2**30
    """Files of all experiments of one user [bytes]."""
    memory: int | None = None
    """Memory of one experiment [bytes]; None: no limit."""
    attempts: int = 4
    """Consecutive attempts that end without completing another epoch."""
    lease: float = 30.0
    """Time without a heartbeat after which an attempt is given up [s]."""
    backoff: float = 1.0
    """Delay before the second attempt, doubled for each further one [s]."""
    seconds: float = 86_400.0
    """Running time of one experiment [s]."""
