"""The names of attempts in an engine."""

import hashlib

_LONGEST_ID = 48  # characters of an id up to which an engine gets it unchanged


def job_name(experiment: str, attempt: int) -> str:
    """The name of an attempt in the engine: unique for each attempt of each experiment, at most 60 characters.

    A long id is hashed, with a prefix that no name of a short one has.
    """
    if len(experiment) <= _LONGEST_ID:
        return f"ajx-{experiment}-{attempt}"
    return f"ajxh-{hashlib.sha256(experiment.encode()).hexdigest()[:40]}-{attempt}"
