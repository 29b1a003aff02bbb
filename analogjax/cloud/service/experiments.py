"""Operations on experiments shared by both interfaces of the service: check an input, store it, provide files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from analogjax.cloud.artefacts import LEFT, RESULTS, Artefacts
from analogjax.cloud.description import Description
from analogjax.cloud.errors import CloudError, DescriptionError, Refused
from analogjax.cloud.estimate import check_memory
from analogjax.cloud.inference import InferenceDescription, description_from_json
from analogjax.cloud.service.cleaning import Cleaner
from analogjax.cloud.service.dispatcher import Dispatcher, job_name
from analogjax.cloud.service.ledger import Ledger
from analogjax.cloud.service.listing import usage
from analogjax.cloud.service.tables import Database, Experiment
from analogjax.cloud.wire.inferencing import inference_of
from analogjax.cloud.wire.tensors import check_weights
from analogjax.cloud.wire.training import description_of, weights_in
from analogjax.errors import AnalogError
from analogjax.store import Location, NotFound, StoreError

_PROTOBUF = "application/x-protobuf"
FILES = {"input.pb": _PROTOBUF, "weights.pb": _PROTOBUF, "description.json": "application/json"} | RESULTS
_NO_SUCH = (
    "trained: {} is no experiment of yours. Give the id of a training that this service has completed; aihwkit's "
    "protocol calls it weight_template_id."
)
_MOST_ARRAYS = 1000  # of one layer's chips
_READERS: dict[str, Any] = {"train": description_of, "inference": inference_of}


@dataclass(frozen=True)
class Experiments:
    """The experiments of the service, with their files."""

    ledger: Ledger
    dispatcher: Dispatcher
    store: Location
    cleaner: Cleaner

    def take_input(self, experiment: Experiment, payload: bytes) -> None:
        """Check and store the protobuf input of a draft. Raises `Refused`, listing what is supported."""
        try:
            description = _READERS[experiment.category](payload, seed_of(experiment.id))
        except DescriptionError as error:
            raise Refused(str(error), 422) from None
        self._check_memory(description)
        self._check_source(experiment.user, description)
        self._check_room(experiment.user, len(payload) - experiment.stored)
        self._stored(lambda: Artefacts(self.store, experiment.id).write_input(payload))
        self.ledger.describe(experiment.id, description.text(), description.epochs, stored=len(payload))

    def submit(self, user: str, id: str, device: str | None = None) -> Experiment:
        """Queue a draft. Raises `Refused`."""
        submitted = self.ledger.submit(user, id, device)
        self.dispatcher.wake()
        return submitted

    def put(
        self, user: str, id: str, name: str, device: str, description: Any, weights: bytes | None = None
    ) -> tuple[Experiment, bool]:
        """Create and queue an experiment from its JSON description, with the chips it names. Raises `Refused`.

        Nothing is stored before it is accepted: a refused one leaves no file.
        """
        try:
            checked = description_from_json(description)
            self._check_memory(checked)
            self._check_source(user, checked)
            self._check_weights(checked, weights)
        except DescriptionError as error:
            raise Refused(str(error), 422) from None
        category = "inference" if isinstance(checked, InferenceDescription) else "train"
        size = 0 if weights is None else len(weights)
        self._check_room(user, size)
        made, new = self.ledger.put(user, id, name, device, checked.text(), checked.epochs, category, awaits=size)
        if new and weights is not None:
            self._stored(lambda: Artefacts(self.store, id).write_weights(weights))
            made = self.ledger.submit(user, id)
        self.dispatcher.wake()
        return made, new

    def rerun(self, user: str, id: str) -> Experiment:
        """Queue a failed or cancelled experiment again. Raises `Refused`."""
        found = self.ledger.get(user, id)
        if found.description is not None:
            self._check_source(user, description_from_json(json.loads(found.description)))
        self._check_room(user, 0)
        queued = self.ledger.rerun(user, id)
        self.dispatcher.wake()
        return queued

    def _check_memory(self, description: Description | InferenceDescription) -> None:
        """Raise `Refused` if it needs more memory than one experiment may use."""
        try:
            check_memory(description, self.ledger.limits.memory)
        except DescriptionError as error:
            raise Refused(str(error), 422) from None

    def _check_room(self, user: str, size: int) -> None:
        """Raise `Refused` (507) if the user's files would be more than is allowed."""
        limit, stored = self.ledger.limits.stored_each, usage(self.database, user).stored
        if stored + size > limit:
            raise Refused(
                f"Your experiments have {stored / 2**20:.0f} MiB of files, of {limit / 2**20:.0f} MiB allowed: delete "
                "some of those that have ended.", 507,
            )  # fmt: skip

    def _check_source(self, user: str, description: Description | InferenceDescription) -> None:
        """Raise `Refused` if an inference names a training that the user has not completed, or with other layers."""
        if not isinstance(description, InferenceDescription) or not description.trained:
            return
        try:
            found = self.ledger.get(user, description.trained)
            if found.category != "train" or found.status != "completed":
                raise Refused(
                    f"trained: experiment {found.id} ({found.category}) is {found.status}; give the id of a training "
                    "that is completed.", 422,
                )  # fmt: skip
            description.check_trained(Description.from_json(json.loads(found.description or "")))
        except DescriptionError as error:
            raise Refused(str(error), 422) from None
        except Refused as error:
            why = _NO_SUCH.format(description.trained) if error.status == 404 else str(error)
            raise Refused(why, 422) from None

    def _check_weights(self, description: Description | InferenceDescription, weights: bytes | None) -> None:
        """Raise `DescriptionError` unless the uploaded chips are those that the description names, and fit it."""
        named = description.weights
        if bool(named) != (weights is not None):
            raise DescriptionError("weights: a description that names none takes none, and one that does needs them.")
        if weights is None:
            return
        if hashlib.sha256(weights).hexdigest() != named:
            raise DescriptionError("weights: they are not those that the description names: their SHA-256 differs.")
        check_weights(description, weights_in(weights, _MOST_ARRAYS))

    def file(self, experiment: Experiment, name: str) -> bytes:
        """A file of an experiment. Raises `Refused` (404) if it does not exist (yet)."""
        artefacts = Artefacts(self.store, experiment.id)
        if name == "description.json" and experiment.description is not None:
            return json.dumps(json.loads(experiment.description), indent=2).encode()
        if name == "input.pb" and experiment.has_payload:
            return self._stored(artefacts.read_input)
        if name == "weights.pb" and (digest := _weights_named(experiment)):
            return self._stored(lambda: artefacts.read_weights(digest))
        if name in LEFT[experiment.category] and experiment.status == "completed":
            return self._stored(lambda: artefacts.read_result(experiment.attempt, name))
        raise Refused(f"The experiment is {experiment.status} and has no file {name!r}.", 404)

    def files(self, experiment: Experiment) -> list[str]:
        """The names of the files available now."""
        given = ["description.json"] if experiment.description is not None else []
        given += ["input.pb"] if experiment.has_payload else []
        given += ["weights.pb"] if _weights_named(experiment) else []
        return given + (list(LEFT[experiment.category]) if experiment.status == "completed" else [])

    def logs(self, experiment: Experiment) -> str:
        """Output of the latest attempt; empty if there is none, or the engine does not know."""
        if experiment.attempt == 0:
            return ""
        try:
            return self.dispatcher.executor.logs(job_name(experiment.id, experiment.attempt))
        except CloudError as error:
            return f"(the engine does not give its log: {error})\n"

    def log_part(self, experiment: Experiment, after: int) -> tuple[str, int]:
        """Output of the latest attempt after byte `after` (0: the end of what there is), and where it ends."""
        if experiment.attempt == 0:
            return "", 0
        try:
            return self.dispatcher.executor.log_part(job_name(experiment.id, experiment.attempt), after)
        except CloudError as error:
            raise Refused(f"The engine does not give its log now ({error}): try again later.", 503) from None

    @property
    def database(self) -> Database:
        """The database of all records."""
        return self.ledger.database

    def _stored(self, act: Any) -> Any:
        try:
            return act()
        except NotFound:
            raise Refused("The file is gone from the store.", 404) from None
        except (StoreError, AnalogError, OSError) as error:
            raise Refused(f"The service's store does not work now ({error}): try again later.", 503) from error


def _weights_named(experiment: Experiment) -> str:
    """The SHA-256 of the uploaded chips, if any."""
    if experiment.description is None:
        return ""
    return str(json.loads(experiment.description).get("weights", ""))


def seed_of(id: str) -> int:
    """A seed for an experiment whose protocol has none: derived from its id, so that every attempt is the same run."""
    return int.from_bytes(hashlib.sha256(id.encode()).digest()[:4], "big") >> 1
