"""The client of trainings."""

from typing import Any

from compat.aihwkit.cloud.client.entities import CloudExperiment, CloudJob
from compat.aihwkit.cloud.client.exceptions import ApiResponseError, CredentialsError, told
from compat.aihwkit.cloud.client.session import ApiSession, ObjectStorageSession
from compat.aihwkit.cloud.client.v1.parsers import ExperimentParser, GeneralParser
from compat.aihwkit.cloud.client.v1.stubs import ExperimentStub, InputStub, JobStub, LoginStub, OutputStub
from compat.aihwkit.cloud.converter.v1.training import BasicTrainingConverter


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
        """Submit an experiment. Raises `ConversionError` for what the protocol has no words for."""
        return self._submit(self.converter.to_proto(input_), name, device)

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
