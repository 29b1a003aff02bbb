"""Answers of the service as objects. All raise `InvalidResponseFieldError` for what is not the protocol's."""

from datetime import UTC, datetime
from typing import Any

from compat.aihwkit.cloud.client.entities import CloudExperiment, CloudExperimentCategory, CloudJob, CloudJobStatus
from compat.aihwkit.cloud.client.exceptions import InvalidResponseFieldError

_STATUSES = {
    "waiting": CloudJobStatus.WAITING, "validating": CloudJobStatus.WAITING, "validated": CloudJobStatus.WAITING,
    "running": CloudJobStatus.RUNNING, "completed": CloudJobStatus.COMPLETED, "failed": CloudJobStatus.FAILED,
    "cancelled": CloudJobStatus.FAILED,
}  # fmt: skip
_CATEGORIES = {
    "train": CloudExperimentCategory.BASIC_TRAINING, "trainweb": CloudExperimentCategory.BASIC_TRAINING,
    "inference": CloudExperimentCategory.BASIC_INFERENCE, "inferenceweb": CloudExperimentCategory.BASIC_INFERENCE,
}  # fmt: skip


class ExperimentParser:
    """Experiments and jobs."""

    @staticmethod
    def parse_experiment(api_response: Any, api_client: Any) -> CloudExperiment:
        """An experiment, with its input and its job if they are given."""
        job, held = _field(api_response, "job", None), _field(api_response, "input", None)
        return CloudExperiment(
            _api_client=api_client,
            id_=_field(api_response, "id"),
            name=_field(api_response, "name"),
            category=ExperimentParser.parse_experiment_category(api_response),
            created_at=ExperimentParser.parse_date_string(_field(api_response, "createdAt")),
            input_id=_field(held, "id", None) if held else None,
            job=ExperimentParser.parse_job(job) if job else None,
        )

    @staticmethod
    def parse_job(api_response: Any) -> CloudJob:
        """A job, with its output if it is given."""
        status = ExperimentParser.parse_experiment_status(api_response)
        return CloudJob(_field(api_response, "id"), _field(api_response, "output", None) or None, status)

    @staticmethod
    def parse_experiment_status(api_response: Any) -> CloudJobStatus:
        """How a job is."""
        return _known(_STATUSES, _field(api_response, "status"), "job status")

    @staticmethod
    def parse_experiment_category(api_response: Any) -> CloudExperimentCategory:
        """What kind of experiment it is."""
        return _known(_CATEGORIES, _field(api_response, "category"), "experiment category")

    @staticmethod
    def parse_date_string(date_string: str) -> datetime:
        """A time (UTC), with or without fractions of a second."""
        try:
            return datetime.fromisoformat(date_string).astimezone(UTC)
        except (ValueError, TypeError):
            raise InvalidResponseFieldError(f"Unsupported date: {str(date_string)[:60]!r}.") from None


class GeneralParser:
    """Everything else."""

    @staticmethod
    def parse_login(api_response: Any) -> str:
        """The session."""
        return _field(api_response, "jwt")


_NEEDED = object()


def _field(answer: Any, name: str, default: Any = _NEEDED) -> Any:
    if not isinstance(answer, dict) or (default is _NEEDED and name not in answer):
        raise InvalidResponseFieldError(f"The service's answer has no field {name!r}: is api_url right?")
    return answer.get(name, default)


def _known(table: dict[str, Any], word: Any, what: str) -> Any:
    if not isinstance(word, str) or word not in table:
        raise InvalidResponseFieldError(f"Unsupported {what}: {str(word)[:60]!r}; known are {', '.join(table)}.")
    return table[word]
