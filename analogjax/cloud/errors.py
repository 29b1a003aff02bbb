"""Errors of the cloud: each states what was given, where, and how to fix it; none shows a token."""

from analogjax.errors import AnalogError


class CloudError(AnalogError):
    """Base class of all errors of the client, the service and the executors."""


class CredentialsError(CloudError):
    """There is no token, or the service rejects it."""


class ConnectionFailed(CloudError):
    """The service can't be reached, or does not answer in time."""


class Refused(CloudError):
    """The service refuses a request; the message is its own."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status  # of the HTTP answer


class ExperimentStatusError(CloudError):
    """The experiment is not in a state in which this is available."""


class DescriptionError(CloudError, ValueError):
    """An experiment can't be described as data, or a description can't be run; the message lists what is supported."""


class ExecutorError(CloudError):
    """An engine refuses a job, or can't be reached."""
