"""What both faces of the service do with experiments: check an input, keep it, hand out files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from analogjax.cloud.artefacts import RESULTS, Artefacts
from analogjax.cloud.description import Description
from analogjax.cloud.errors import CloudError, DescriptionError, Refused
from analogjax.cloud.service.dispatcher import Dispatcher, job_name
from analogjax.cloud.service.ledger import Ledger
from analogjax.cloud.service.tables import Experiment
from analogjax.cloud.wire.training import description_of
from analogjax.errors import AnalogError
from analogjax.store import Location, NotFound, StoreError

FILES = {"input.pb": "application/x-protobuf", "description.json": "application/json"} | RESULTS


@dataclass(frozen=True)
class Experiments:
    """The experiments of the service, with their files."""

    ledger: Ledger
    dispatcher: Dispatcher
    store: Location

    def take_input(self, experiment: Experiment, payload: bytes) -> None:
        """Check and keep the protobuf input of a draft. Raises `Refused` with the list of what is known."""
        if experiment.category != "train":
            raise Refused("Only trainings can be run by this version of the service: category train.", 422)
        try:
            description = description_of(payload, seed_of(experiment.id))
        except DescriptionError as error:
            raise Refused(str(error), 422) from None
        self._stored(lambda: Artefacts(self.store, experiment.id).write_input(payload))
        self.ledger.describe(experiment.id, description.text(), description.epochs)

    def submit(self, user: str, id: str, device: str | None = None) -> Experiment:
        """Queue a draft. Raises `Refused`."""
        submitted = self.ledger.submit(user, id, device)
        self.dispatcher.wake()
        return submitted

    def put(self, user: str, id: str, name: str, device: str, description: Any) -> tuple[Experiment, bool]:
        """Create and queue an experiment from its JSON description. Raises `Refused`."""
        try:
            checked = Description.from_json(description)
        except DescriptionError as error:
            raise Refused(str(error), 422) from None
        made, new = self.ledger.put(user, id, name, device, checked.text(), checked.epochs)
        self.dispatcher.wake()
        return made, new

    def file(self, experiment: Experiment, name: str) -> bytes:
        """A file of an experiment. Raises `Refused` (404) where there is none (yet)."""
        artefacts = Artefacts(self.store, experiment.id)
        if name == "description.json" and experiment.description is not None:
            return json.dumps(json.loads(experiment.description), indent=2).encode()
        if name == "input.pb" and experiment.has_payload:
            return self._stored(artefacts.read_input)
        if name in RESULTS and experiment.status == "completed":
            return self._stored(lambda: artefacts.read_result(experiment.attempt, name))
        raise Refused(f"The experiment is {experiment.status} and has no file {name!r}.", 404)

    def files(self, experiment: Experiment) -> list[str]:
        """The names of the files that can be had now."""
        given = ["description.json"] if experiment.description is not None else []
        given += ["input.pb"] if experiment.has_payload else []
        return given + (list(RESULTS) if experiment.status == "completed" else [])

    def logs(self, experiment: Experiment) -> str:
        """What the latest attempt printed; empty where it printed nothing, or the engine does not know."""
        if experiment.attempt == 0:
            return ""
        try:
            return self.dispatcher.executor.logs(job_name(experiment.id, experiment.attempt))
        except CloudError as error:
            return f"(the engine does not give its log: {error})\n"

    def _stored(self, act: Any) -> Any:
        try:
            return act()
        except NotFound:
            raise Refused("The file is gone from the store.", 404) from None
        except (StoreError, AnalogError, OSError) as error:
            raise Refused(f"The service's store does not work now ({error}): try again later.", 503) from error


def seed_of(id: str) -> int:
    """The seed of an experiment whose protocol knows none: decided by its id, so that every attempt is the same run."""
    return int.from_bytes(hashlib.sha256(id.encode()).digest()[:4], "big") >> 1
