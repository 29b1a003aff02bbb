"""The client of trainings."""

import uuid
from typing import Any

from compat.aihwkit.cloud.client.entities import CloudExperiment, CloudJob
from compat.aihwkit.cloud.client.exceptions import ApiResponseError, CredentialsError, told
from compat.aihwkit.cloud.client.session import ApiSession, ObjectStorageSession
from compat.aihwkit.cloud.client.v1.parsers import ExperimentParser, GeneralParser
from compat.aihwkit.cloud.client.v1.stubs import ExperimentStub, InputStub, JobStub, LoginStub, OutputStub
from compat.aihwkit.cloud.converter.exceptions import ConversionError
from compat.aihwkit.cloud.converter.v1.training import BasicTrainingConverter
from compat.torch_package import torch


class ApiClient:
    """Speaks the composer protocol; made, it is logged in. Raises `CredentialsError`, `ApiResponseError`, and what
    the sessions and parsers raise.
    """

    category = "train"

    def __init__(self, session: ApiSession) -> None:
        self.session = session
        self.object_storage_session = ObjectStorageSession(session.verify)
        self.converter: Any = BasicTrainingConverter()
        self.experiments, self.inputs = ExperimentStub(session), InputStub(session)
        self.outputs, self.jobs, self.login_ = OutputStub(session), JobStub(session), LoginStub(session)
        self.login()

    def login(self) -> None:
        """Exchange the token for a session."""
        refused = ""
        try:
            answer = self.login_.post({"token": self.session.api_token})
        except ApiResponseError as error:
            if error.response.status_code != 400:
                raise
            refused = told(error.response) or "unknown"
        if refused:  # outside of `except`: the request that the error holds has the token
            raise CredentialsError(f"Error while trying to log in: {refused}")
        self.session.update_jwt_token(GeneralParser.parse_login(answer))

    def experiments_list(self) -> list[CloudExperiment]:
        """All experiments of the user."""
        return [ExperimentParser.parse_experiment(one, self) for one in self.experiments.list()]

    def experiment_create(self, input_: Any, name: str, device: str = "gpu") -> CloudExperiment:
        """Submit an experiment. One that the protocol has no words for is sent in JSON, if the service takes that.

        Raises `ConversionError` where neither is possible.
        """
        try:
            message = self.converter.to_proto(input_)
        except ConversionError as error:
            made = self._submit_json(input_, name, device)
            if made is None:
                raise error from None
            return made
        return self._submit(message, name, device)

    def _submit_json(self, input_: Any, name: str, device: str) -> CloudExperiment | None:
        """The same over the JSON API of `analogjax serve`; `None` for another service or kind of experiment."""
        if self.category != "train" or not self._takes_json():
            return None
        from compat.aihwkit.cloud.converter.v1.described import described

        body = {"name": name, "device": device, "description": described(input_, int(torch.randint(0, 2**31 - 1, ())))}
        id_ = uuid.uuid4().hex
        self.session.request("PUT", f"api/v1/experiments/{id_}", json=body)
        return self.experiment_get(id_)

    def _takes_json(self) -> bool:
        try:
            return self.session.request("GET", "api/v1").json().get("name") == "analogjax"
        except (ApiResponseError, ValueError, AttributeError):
            return False

    def _submit(self, message: Any, name: str, device: str) -> CloudExperiment:
        payload = message.SerializeToString()
        made = self.experiments.post({"name": name, "category": self.category})
        experiment = ExperimentParser.parse_experiment(made, self)
        place = self.inputs.post({"experiment": experiment.id_, "device": device})
        self.object_storage_session.put(place["url"], data=payload)
        experiment.job = ExperimentParser.parse_job(self.jobs.post({"device": device, "experiment": experiment.id_}))
        return experiment

    def experiment_get(self, experiment_id: str) -> CloudExperiment:
        """One experiment."""
        return ExperimentParser.parse_experiment(self.experiments.get(experiment_id), self)

    def job_get(self, job_id: str) -> CloudJob:
        """One job."""
        return ExperimentParser.parse_job(self.jobs.get(job_id))

    def input_get(self, input_id: str) -> bytes:
        """The input of an experiment, in protobuf."""
        return self.object_storage_session.get(self.inputs.get(input_id)["url"]).content

    def output_get(self, output_id: str) -> bytes:
        """The output of an experiment, in protobuf."""
        return self.object_storage_session.get(self.outputs.get(output_id)["url"]).content
