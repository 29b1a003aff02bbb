"""Errors of the client; each is of the kind that `analogjax.cloud` has for the same, too."""

import json
from typing import Any
from urllib.parse import urlsplit

from analogjax.cloud import errors as native
from compat.aihwkit.exceptions import CloudError


class ResponseError(CloudError, native.Refused):
    """A server did not do what was asked; addresses are shown without what lets their holder in."""

    def __init__(self, response: Any) -> None:
        self.response, self.url = response, self._shown(response.url)
        native.Refused.__init__(self, self._text(), response.status_code)

    def _text(self) -> str:
        answer = self.response
        head = f"{answer.status_code} {answer.reason} for {answer.request.method} {self.url}"
        return f"{head}: {message}" if (message := told(answer)) else head

    @staticmethod
    def _shown(url: str) -> str:
        parts = urlsplit(url)  # the path and the query of a signed address are what is secret in it
        return f"{parts.scheme}://{parts.hostname}/..."


class ApiResponseError(ResponseError):
    """The service did not do what was asked."""

    @staticmethod
    def _shown(url: str) -> str:
        return urlsplit(url).path


class Unreachable(CloudError, native.ConnectionFailed):
    """A server can't be reached, or does not answer in time."""


class InvalidResponseFieldError(CloudError):
    """The service answers in words that are not the protocol's."""


class ExperimentStatusError(CloudError, native.ExperimentStatusError):
    """The experiment is not in a state in which this can be had."""


class CredentialsError(CloudError, native.CredentialsError):
    """There is no token, or the service does not accept it."""


def told(response: Any) -> str:
    """The `message` of a service, or nothing."""
    try:
        message = json.loads(response.content)["message"]
    except (ValueError, KeyError, TypeError):
        return ""
    return message[:2000] if isinstance(message, str) else ""
