"""The errors of the cloud: each says what was given, where, and how to mend it; none shows a token."""

from analogjax.errors import AnalogError


class CloudError(AnalogError):
    """Root of what the client, the service and the executors raise."""


class CredentialsError(CloudError):
    """There is no token, or the service does not accept it."""


class ConnectionFailed(CloudError):
    """The service can't be reached, or does not answer in time."""


class Refused(CloudError):
    """The service does not do what was asked; the message is its own."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status  # of the HTTP answer


class ExperimentStatusError(CloudError):
    """The experiment is not in a state in which this can be had."""


class DescriptionError(CloudError, ValueError):
    """An experiment can't be described as data, or a description can't be run; the message lists what is known."""


class ExecutorError(CloudError):
    """An engine refuses a job, or can't be reached."""
