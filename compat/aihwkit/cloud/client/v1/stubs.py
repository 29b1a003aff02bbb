"""The paths of the service."""

from collections import namedtuple
from typing import Any

Endpoint = namedtuple("Endpoint", ["url", "method"])


class ApiStub:
    """Things of one kind, that can be listed, had by id, and made."""

    base_url = ""
    list_url = ""  # where it differs
    get_url = ""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.endpoints = {
            "list": Endpoint(self.list_url or self.base_url, "GET"),
            "get": Endpoint(self.get_url or f"{self.base_url}/{{}}", "GET"),
            "post": Endpoint(self.base_url, "POST"),
        }

    def list(self) -> Any:
        """All of them."""
        return self._json("list")

    def get(self, object_id: str) -> Any:
        """One of them."""
        return self._json("get", object_id)

    def post(self, content: dict) -> Any:
        """A new one."""
        return self._json("post", json=content)

    def _json(self, name: str, *parts: str, **given: Any) -> Any:
        from compat.aihwkit.cloud.client.exceptions import InvalidResponseFieldError

        endpoint = self.endpoints[name]
        answer = self.session.request(endpoint.method, endpoint.url.format(*parts), **given)
        try:
            return answer.json()
        except ValueError:
            pass  # the error must not carry what was received
        raise InvalidResponseFieldError(
            f"The answer to {endpoint.method} {endpoint.url} is not JSON: is api_url right?"
        )


class ExperimentStub(ApiStub):
    """Experiments."""

    base_url, list_url = "experiments", "experiments/me"


class InputStub(ApiStub):
    """Inputs: what is had is where the file lies."""

    base_url, get_url = "inputs", "inputs/{}/file"


class OutputStub(ApiStub):
    """Outputs: what is had is where the file lies."""

    base_url, get_url = "outputs", "outputs/{}/file"


class JobStub(ApiStub):
    """Jobs."""

    base_url = "jobs"


class LoginStub(ApiStub):
    """Sessions."""

    base_url = "token/login"
