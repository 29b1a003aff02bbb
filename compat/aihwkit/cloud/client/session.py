"""HTTP sessions: with the service, and with the store that holds its files.

Other than aihwkit's they have time-outs, repeat what changes nothing when it is repeated (GET, PUT, DELETE), check TLS
certificates of files too, and don't carry a token to where a redirect leads.
"""

from functools import partial
from typing import Any
from urllib.parse import urlsplit

from analogjax._version import __version__ as analogjax_version
from analogjax.cloud.connection import repeated
from analogjax.cloud.credentials import is_loopback, plain_url
from analogjax.errors import MissingPackage
from compat.aihwkit.cloud.client.exceptions import ApiResponseError, ResponseError, Unreachable
from compat.aihwkit.version import __version__

try:
    import requests
except ImportError:
    raise MissingPackage('The cloud client needs requests: pip install "analogjax[cloud]".') from None

_Session: Any = requests.Session  # its type is known only where types-requests is installed
_TIMEOUT = (5.0, 60.0)  # [s] to connect, to answer


class _PatientSession(_Session):
    def __init__(self, verify: bool | str) -> None:
        super().__init__()
        self.verify = verify
        self.headers["User-Agent"] = f"aihwkit/{__version__} analogjax/{analogjax_version}"

    def _ask(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("timeout", _TIMEOUT)
        # a proxy that serves the outside world knows nothing of this machine
        self.trust_env = not is_loopback(urlsplit(url).hostname or "")
        ask = partial(super().request, method, url, *args, **kwargs)
        try:
            return repeated(method.upper(), ask)
        except (requests.RequestException, OSError) as error:
            kind = type(error).__name__
        # outside of `except`: errors of requests may contain a signed URL
        parts = urlsplit(url)
        raise Unreachable(
            f"{plain_url(f'{parts.scheme}://{parts.netloc}')} can't be reached ({kind}). Is the service started "
            "(`analogjax serve`), and api_url its address?"
        )


class ObjectStorageSession(_PatientSession):
    """Reads and writes files at signed addresses. Raises `ResponseError`, `Unreachable`."""

    def __init__(self, verify: bool | str = True) -> None:
        super().__init__(verify)

    def request(self, method: str, url: Any, *args: Any, **kwargs: Any) -> Any:
        """The answer, where it tells of success."""
        answer = self._ask(method, str(url), *args, **kwargs)
        if not answer.ok:
            raise ResponseError(answer)
        return answer


class ApiSession(_PatientSession):
    """Speaks to the service, after the login with its session. Raises `ApiResponseError`, `Unreachable`."""

    def __init__(self, api_url: str, api_token: str, verify: bool | str = True) -> None:
        super().__init__(verify)
        self.api_url, self.api_token = api_url, api_token
        self.jwt_token: str | None = None
        self.auth = self._sign  # as `auth`, because a ~/.netrc would replace a plain header

    def __repr__(self) -> str:
        return f"ApiSession({plain_url(self.api_url)})"

    def update_jwt_token(self, jwt_token: str) -> None:
        """Use this session from now on."""
        self.jwt_token = jwt_token

    def request(self, method: str, url: Any, *args: Any, **kwargs: Any) -> Any:
        """The answer to a request for a path of the service, where it tells of success."""
        # the login's body holds the token: not for whoever a redirect names
        kwargs["allow_redirects"] = False
        answer = self._ask(method, f"{self.api_url.rstrip('/')}/{url}", *args, **kwargs)
        if not 200 <= answer.status_code < 300:
            raise ApiResponseError(answer)
        return answer

    def _sign(self, request: Any) -> Any:
        if self.jwt_token is not None:
            request.headers["Authorization"] = f"Bearer {self.jwt_token}"
        return request
