"""HTTP to a service: time-outs, retries where they are safe, and errors that never contain the token.

Repeating GET, PUT and DELETE changes nothing, so they are retried (at most 4 times, for about 20 s) if the service
can't be reached, breaks off, or answers 429, 502, 503 or 504. Redirects are not followed, because their target would
get the token.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin, urlsplit

from analogjax._version import __version__
from analogjax.cloud.credentials import Credentials, is_loopback, plain_url
from analogjax.cloud.errors import CloudError, ConnectionFailed, CredentialsError, Refused
from analogjax.errors import MissingPackage

AWAY = (429, 502, 503, 504)  # try again later
_TRIES, _PATIENCE = 4, 20.0  # tries after the first one, and the time [s] in which they are begun
_BACKOFF, _LONGEST_PAUSE = 1.0, 8.0  # [s] between tries: nothing, then 2, 4, 8 times _BACKOFF
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "record layer failure", "wrong version number")
_IDEMPOTENT = ("GET", "PUT", "DELETE")


class Connection:
    """A service, accessed with one token."""

    def __init__(
        self, credentials: Credentials, verify: bool | str = True, timeout: tuple[float, float] = (5.0, 30.0)
    ) -> None:
        """`verify` is a file of certificates to trust, or `False` for no check; `timeout` [s] to connect, to answer."""
        self.url, self._credentials, self._timeout = credentials.url, credentials, timeout
        self._session = _session(credentials, verify)

    def __repr__(self) -> str:
        return f"Connection({plain_url(self.url)})"

    def json(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Send a request and parse the answer; `path` begins with a slash.

        Raises `CredentialsError`, `Refused`, `ConnectionFailed`.
        """
        answer = self._answer(method, path, body, query)
        try:
            return answer.json()
        except ValueError:
            pass  # the error below must not carry what was received
        raise ConnectionFailed(f"{self._place(path)} answers with something that is not JSON: {self._is_it}")

    def content(self, path: str, **query: Any) -> bytes:
        """The content of an answer to GET. Raises `CredentialsError`, `Refused`, `ConnectionFailed`."""
        return self._answer("GET", path, None, query).content

    def send(self, method: str, path: str, body: Any = None) -> None:
        """Send a request that has no answer. Raises `CredentialsError`, `Refused`, `ConnectionFailed`."""
        self._answer(method, path, body, {})

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _answer(self, method: str, path: str, body: Any, query: dict[str, Any]) -> Any:
        answer, why = self._asked(method, path, body, query)
        if answer is None:  # outside of any `except`, so that nothing of what requests knows is chained to the error
            raise ConnectionFailed(f"{self._place(path)} {why}")
        self._check(answer, path)
        return answer

    def _asked(self, method: str, path: str, body: Any, query: dict[str, Any]) -> tuple[Any, str]:
        """The answer; raises if there is none."""
        import requests

        def ask() -> Any:
            return self._session.request(
                method, self.url + path, json=body, params=query, timeout=self._timeout, allow_redirects=False
            )

        try:
            return repeated(method, ask), ""
        except (requests.RequestException, OSError) as error:  # OSError: the file of certificates
            return None, _why(error)

    def _check(self, answer: Any, path: str) -> None:
        """Raise the error for an unsuccessful status."""
        if 200 <= answer.status_code < 300:
            return
        if 300 <= answer.status_code < 400:
            target = urlsplit(urljoin(self.url + path, answer.headers.get("Location", "")))
            raise ConnectionFailed(
                f"{self._place(path)} redirects to {target.scheme}://{target.hostname}, which would be sent the token: "
                "not followed. If that is the service, give its address as api_url."
            )
        message = _message(answer)
        if answer.status_code == 401:
            raise CredentialsError(
                f"{plain_url(self.url)} does not accept the token from {self._credentials.source}: {message} Where the "
                "service runs, `analogjax cloud token create NAME` makes another."
            )
        raise Refused(message, answer.status_code)

    def _place(self, path: str) -> str:
        return plain_url(self.url + path)

    @property
    def _is_it(self) -> str:
        return f"is {plain_url(self.url)} an analogjax service? `analogjax serve` starts one; api_url is its address."


def away(error: CloudError) -> bool:
    """Whether the service may be back soon."""
    return isinstance(error, ConnectionFailed) or (isinstance(error, Refused) and error.status in AWAY)


def _session(credentials: Credentials, verify: bool | str) -> Any:
    try:
        import requests
    except ImportError:
        raise MissingPackage('CloudRunner needs requests: pip install "analogjax[cloud]".') from None
    session = requests.Session()
    session.headers["User-Agent"] = f"analogjax/{__version__}"
    session.auth = _bearer(credentials)
    session.verify = verify
    # a proxy that serves the outside world knows nothing of this machine
    session.trust_env = not is_loopback(urlsplit(credentials.url).hostname or "")
    return session


def _bearer(credentials: Credentials) -> Any:
    """Adds the token to a request. Passed as `auth`, because a ~/.netrc would replace a plain header."""

    def sign(request: Any) -> Any:
        request.headers["Authorization"] = f"Bearer {credentials.token}"
        return request

    return sign


def repeated(method: str, ask: Callable[[], Any]) -> Any:
    """Call `ask`, again if that is harmless and may help. Raises the error of the last attempt.

    Not left to urllib3, which logs URLs that may be signed, and does not retry after a break in the body.
    """
    import requests

    end, tried = time.monotonic() + _PATIENCE, 0
    while True:
        again = method in _IDEMPOTENT and tried < _TRIES and time.monotonic() < end
        pause = _BACKOFF * 2**tried if tried else 0.0
        try:
            answer = ask()
            if answer.status_code not in AWAY or not again:
                return answer
            pause = _asked_for(answer, pause)
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            if not again or isinstance(error, requests.exceptions.SSLError):
                raise
        time.sleep(min(pause, _LONGEST_PAUSE))
        tried += 1


def _asked_for(answer: Any, pause: float) -> float:
    """The pause requested by a server, if any."""
    try:
        return max(0.0, float(answer.headers["Retry-After"]))
    except (KeyError, ValueError):
        return pause


def _why(error: Exception) -> str:
    """What happened, and how to fix it, in fixed words: messages of requests may contain anything."""
    import requests

    if isinstance(error, requests.exceptions.SSLError) and any(sign in str(error) for sign in _NO_TLS):
        return "does not speak TLS: give its address with http://, or put a proxy with TLS before it."
    if isinstance(error, requests.exceptions.SSLError):
        return "can't be trusted: its TLS certificate is not valid here. Give verify='file.pem' with its authority's."
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return "did not answer in time: is it overloaded, or its address another? Try again."
    if isinstance(error, requests.exceptions.ProxyError):
        return "can't be reached through the proxy that HTTP_PROXY or HTTPS_PROXY names."
    if isinstance(error, requests.ConnectionError) and "refused" not in str(error):
        return "can't be reached, or broke off. Is the service started (`analogjax serve`), and api_url its address?"
    if isinstance(error, requests.RequestException):
        return "can't be reached: nothing listens there. Is the service started (`analogjax serve`), and api_url right?"
    return "was not asked: verify names a file of certificates that can't be read."


def _message(answer: Any) -> str:
    """The message of the service."""
    try:
        reported = answer.json()["message"]
    except (ValueError, KeyError, TypeError):
        reported = None
    if not isinstance(reported, str) or not reported:
        return f"HTTP {answer.status_code} {answer.reason or ''}".strip() + "."
    return reported[:4000]
