"""Experiments and jobs that a service has."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from analogjax.cloud.errors import CloudError as NativeCloudError
from analogjax.cloud.errors import CredentialsError as NativeCredentialsError
from analogjax.cloud.errors import Refused
from compat.aihwkit.cloud.client.exceptions import ApiResponseError, ExperimentStatusError
from compat.aihwkit.cloud.converter.exceptions import ConversionError
from compat.aihwkit.exceptions import CloudError

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0  # [s] between two looks while waiting


class CloudJobStatus(Enum):
    """How a job is."""

    UNKNOWN = 0
    WAITING = 1
    RUNNING = 2
    COMPLETED = 3
    FAILED = 4


class CloudExperimentCategory(Enum):
    """Kinds of experiments."""

    BASIC_TRAINING = 1
    BASIC_INFERENCE = 2


@dataclass
class CloudJob:
    """The run of an experiment."""

    id_: str
    output_id: str | None = field(repr=False)
    status: CloudJobStatus = CloudJobStatus.UNKNOWN


@dataclass
class CloudExperiment:
    """An experiment that a service has. `wait`, `logs` and `cancel` are ours; the last two need `analogjax serve`."""

    _api_client: Any = field(repr=False)
    id_: str
    name: str
    category: CloudExperimentCategory = field(repr=False)
    created_at: datetime = field(repr=False)
    input_id: str | None = field(repr=False)
    job: CloudJob | None = field(repr=False)

    def get_experiment(self) -> Any:
        """The experiment. Of a training that `analogjax serve` has completed, the model holds the trained chips, exact
        to the bit; else the model is new and untrained, as in aihwkit.

        Raises `ExperimentStatusError` for one that was not submitted, `ConversionError`, `ConfigError` for what is not
        simulated here.
        """
        from compat.aihwkit.cloud.converter.v1 import inferencing, training

        status = self.status()
        if status is CloudJobStatus.UNKNOWN:
            raise ExperimentStatusError(f"Experiment {self.id_} was not submitted, so it has no input yet.")
        if self.input_id is None:  # a service need not tell it with the answer to `run`
            self.input_id = self._api_client.experiment_get(self.id_).input_id
        payload = self._payload()
        if self.category is CloudExperimentCategory.BASIC_INFERENCE:
            return inferencing.experiment_of(payload)
        output = self._api_client.output_get(self._output_id()) if status is CloudJobStatus.COMPLETED else None
        return training.experiment_of(payload, output)

    def _payload(self) -> bytes:
        refused = False
        try:
            return self._api_client.input_get(self.input_id)
        except ApiResponseError as error:
            refused = error.response.status_code == 404
            if not refused:
                raise
        raise ConversionError(
            f"Experiment {self.id_} was sent in JSON, for its configuration has no name in aihwkit's protocol; "
            f"analogjax.cloud.CloudRunner().get_experiment({self.id_!r}).get_experiment() has the trained model."
        )

    def get_result(self) -> list[dict[str, Any]]:
        """Of a training `[{"epoch": n, "metrics": {name: value}}, ...]`; of an inference one dict for each time.

        Raises `ExperimentStatusError` unless it is completed.
        """
        from compat.aihwkit.cloud.converter.v1 import inferencing, training

        status = self.status()
        if status is not CloudJobStatus.COMPLETED:
            raise ExperimentStatusError(self._why_no_result(status))
        results = inferencing if self.category is CloudExperimentCategory.BASIC_INFERENCE else training
        return results.results_of(self._api_client.output_get(self._output_id()))

    def status(self) -> CloudJobStatus:
        """How it is now; no request is made once it has ended."""
        if self.job is None:
            found = self._api_client.experiment_get(self.id_)
            self.input_id, self.job = found.input_id, found.job
        if self.job is None:
            return CloudJobStatus.UNKNOWN
        ended = self.job.status is CloudJobStatus.FAILED or (
            self.job.status is CloudJobStatus.COMPLETED and self.job.output_id is not None
        )
        if not ended:
            self.job = self._api_client.job_get(self.job.id_)
        return self.job.status

    def wait(self, timeout: float | None = None, progress: bool = True) -> CloudJobStatus:
        """Wait until it has ended, telling of each epoch where the service does; returns how it ended.

        Ctrl-C ends the waiting, not the experiment. Raises `TimeoutError` when `timeout` [s] are over.
        """
        if self.status() is CloudJobStatus.UNKNOWN:
            raise ExperimentStatusError(f"Experiment {self.id_} was not submitted: there is nothing to wait for.")
        try:
            remote = self._remote("wait")
        except _NotOffered:
            return self._poll(None if timeout is None else time.monotonic() + timeout)
        remote.wait(timeout, progress)
        return self.status()

    def logs(self) -> str:
        """The end of what its worker printed. Raises `CloudError` where the service has no logs."""
        return self._remote("logs").logs()

    def cancel(self) -> None:
        """End it; one that has ended stays as it is. Raises `CloudError` where the service can't do so."""
        self._remote("cancel").cancel()

    def _poll(self, until: float | None) -> CloudJobStatus:
        pause = _FIRST_PAUSE
        while (status := self.status()) not in (CloudJobStatus.COMPLETED, CloudJobStatus.FAILED):
            left = _LONGEST_PAUSE if until is None else until - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"Experiment {self.id_} is still {status.name}; call .wait() again.")
            time.sleep(min(pause, left))
            pause = min(1.5 * pause, _LONGEST_PAUSE)
        return status

    def _output_id(self) -> str:
        assert self.job is not None  # asked for only when completed
        return self.job.output_id or self.job.id_

    def _why_no_result(self, status: CloudJobStatus) -> str:
        if status is not CloudJobStatus.FAILED:
            return f"Experiment {self.id_} is {status.name}: there is no result yet. Wait for its end with .wait()."
        try:
            reason = self._remote("reason").reason()
        except CloudError:
            reason = None
        return f"Experiment {self.id_} failed: {reason or 'the service does not say why'}."

    def _remote(self, what: str) -> Any:
        """The same experiment over the JSON API of `analogjax serve`."""
        from analogjax.cloud.connection import Connection, away
        from analogjax.cloud.credentials import Credentials
        from analogjax.cloud.remote import RemoteExperiment

        session = self._api_client.session
        held = Credentials(session.api_url.rstrip("/"), session.jwt_token or "", "the login")
        try:
            return RemoteExperiment.find(Connection(held, session.verify), self.id_)
        except NativeCredentialsError:
            pass
        except NativeCloudError as error:
            if away(error) and isinstance(error, Refused):
                raise
        raise _NotOffered(f"{what}: the service at {session.api_url} does not offer it; `analogjax serve` does.")


class _NotOffered(CloudError):
    """The service speaks the composer protocol alone."""
