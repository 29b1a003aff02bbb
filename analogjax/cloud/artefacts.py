"""The files of an experiment in the store, shared by the service and its workers.

    experiments/<id>/input.pb               the input as received, if it was protobuf
    experiments/<id>/weights.<sha256>.pb    uploaded chips of an inference
    experiments/<id>/checkpoints/           of the run, whichever attempt resumes it
    experiments/<id>/attempts/<n>/ticket.json   what the worker of attempt n is to do
    experiments/<id>/attempts/<n>/run/          the record of the run (`analogjax runs show`)
    experiments/<id>/attempts/<n>/...           results, written by that worker alone
    experiments/<id>/attempts/<n>/outcome.json  the last file: how the attempt ended, and the checksums of the others

An attempt that was given up can still write, but only into its own folder, which is no longer read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analogjax._field_docs import document_fields
from analogjax.cloud.errors import CloudError
from analogjax.store import Location, NotFound

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{7,63}")
RESULTS = {  # what workers leave, and its media type
    "output.pb": "application/x-protobuf",
    "weights.npz": "application/octet-stream",
    "results.json": "application/json",
    "results.csv": "text/csv; charset=utf-8",
    "tiles.json": "application/json",
}
LEFT = {"train": tuple(RESULTS), "inference": ("output.pb", "results.json", "results.csv")}  # by category
_INPUT, _TICKET, _OUTCOME = "input.pb", "ticket.json", "outcome.json"
_FORMAT = "analogjax-outcome-1"


@document_fields
@dataclass(frozen=True)
class Outcome:
    """How an attempt ended."""

    status: str
    """completed, failed, cancelled; lost, if another attempt may succeed; or full, once there is room on the disk."""
    reason: str | None
    epochs: list[dict[str, Any]]
    files: dict[str, str]
    """SHA-256 of each file, by name."""


class Artefacts:
    """The files of one experiment."""

    def __init__(self, store: Location, experiment: str) -> None:
        if not ID.fullmatch(experiment):
            raise CloudError(f"{experiment[:80]!r} is no id of an experiment.")
        self.store, self.location = store, store / "experiments" / experiment

    def of(self, experiment: str) -> Artefacts:
        """The files of another experiment in the same store."""
        return Artefacts(self.store, experiment)

    @property
    def checkpoints(self) -> Location:
        """Location of the checkpoints of the run."""
        return self.location / "checkpoints"

    def attempt(self, number: int) -> Location:
        """The folder of an attempt."""
        return self.location / "attempts" / str(number)

    def delete(self) -> None:
        """Delete all of them."""
        self.location.delete(*(entry.name for entry in self.location.list()))

    def tidy(self, attempt: int, *, keep_checkpoints: bool) -> int:
        """Delete what is no longer needed after the end: attempts before this one, and the checkpoints.

        Returns the size of what is left [bytes].
        """
        kept, gone = 0, []
        for entry in self.location.list():
            folder, _, rest = entry.name.partition("/")
            old = folder == "attempts" and rest.partition("/")[0] != str(attempt)
            if old or (folder == "checkpoints" and not keep_checkpoints):
                gone.append(entry.name)
            else:
                kept += entry.size
        self.location.delete(*gone)
        return kept

    def write_input(self, payload: bytes) -> None:
        """Store the input as received."""
        self.location.write(_INPUT, payload)

    def read_input(self) -> bytes:
        """The input as received. Raises `NotFound`, `StoreError`."""
        return self.location.read(_INPUT)

    def write_weights(self, payload: bytes) -> None:
        """Store uploaded chips under their hash, so that existing files never change."""
        self.location.write(f"weights.{hashlib.sha256(payload).hexdigest()}.pb", payload)

    def read_weights(self, digest: str) -> bytes:
        """The uploaded chips, verified. Raises `NotFound`, `StoreError`, `CloudError` if they are damaged."""
        content = self.location.read(f"weights.{digest}.pb")
        if hashlib.sha256(content).hexdigest() != digest:
            raise CloudError(f"{self.location}/weights.{digest}.pb is damaged: its checksum is another.")
        return content

    def write_ticket(self, attempt: int, ticket: Mapping[str, Any]) -> None:
        """Record what the worker of an attempt is to do."""
        self.attempt(attempt).write(_TICKET, json.dumps(dict(ticket)).encode())

    def read_ticket(self, attempt: int) -> dict[str, Any]:
        """Read what the worker of an attempt is to do. Raises `NotFound`, `StoreError`."""
        return json.loads(self.attempt(attempt).read(_TICKET))

    def write_outcome(self, attempt: int, outcome: Outcome, files: Mapping[str, bytes]) -> None:
        """Write the results of an attempt and, as the last file, its outcome."""
        folder = self.attempt(attempt)
        for name, content in files.items():
            folder.write(name, content)
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        reported = {"status": outcome.status, "reason": outcome.reason, "epochs": outcome.epochs, "files": sums}
        folder.write(_OUTCOME, json.dumps({"format": _FORMAT, **reported}).encode())

    def outcome(self, attempt: int) -> Outcome | None:
        """How an attempt ended; `None` if it has not yet. Raises `StoreError`, `CloudError` for a damaged file."""
        try:
            reported = json.loads(self.attempt(attempt).read(_OUTCOME))
            if reported["format"] != _FORMAT:
                raise ValueError(reported["format"])
            return Outcome(reported["status"], reported["reason"], list(reported["epochs"]), dict(reported["files"]))
        except NotFound:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise CloudError(f"The outcome of attempt {attempt} in {self.location} is damaged ({error}).") from error

    def read_result(self, attempt: int, name: str) -> bytes:
        """A file of a finished attempt, verified. Raises `NotFound`, `StoreError`, `CloudError` if it is damaged."""
        outcome = self.outcome(attempt)
        if outcome is None or name not in outcome.files:
            raise NotFound(f"The experiment has no file {name!r}.")
        content = self.attempt(attempt).read(name)
        if hashlib.sha256(content).hexdigest() != outcome.files[name]:
            raise CloudError(f"{self.attempt(attempt)}/{name} is damaged: its checksum is another.")
        return content
