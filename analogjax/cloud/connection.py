"""HTTP to a service: time-outs, retries where they are safe, and errors that never hold the token.

GET, PUT and DELETE change nothing when they are repeated, so they are repeated (at most 4 times, for about 20 s) when
the service can't be reached, breaks off, or answers 429, 502, 503 or 504. Redirects are not followed: what they lead to
would get the token.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urljoin, urlsplit

from analogjax._version import __version__
from analogjax.cloud.credentials import Credentials, is_loopback, plain_url
from analogjax.cloud.errors import CloudError, ConnectionFailed, CredentialsError, Refused
from analogjax.errors import MissingPackage

AWAY = (429, 502, 503, 504)  # try again later
_TRIES, _PATIENCE = 4, 20.0  # tries after the first one, and the time [s] in which they are begun
_BACKOFF, _LONGEST_PAUSE = 1.0, 8.0  # [s] between tries: nothing, then 2, 4, 8 times _BACKOFF
_IDEMPOTENT = ("GET", "PUT", "DELETE")


class Connection:
    """A service, spoken to with one token."""

    def __init__(
        self, credentials: Credentials, verify: bool | str = True, timeout: tuple[float, float] = (5.0, 30.0)
    ) -> None:
        """`verify` is a file of certificates to trust, or `False` for none; `timeout` [s] to connect, to answer."""
        self.url, self._credentials, self._timeout = credentials.url, credentials, timeout
        self._session = _session(credentials, verify)

    def __repr__(self) -> str:
        return f"Connection({plain_url(self.url)})"

    def json(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The parsed answer; `path` begins with a slash. Raises `CredentialsError`, `Refused`, `ConnectionFailed`."""
        answer = self._answer(method, path, body, query)
        try:
            return answer.json()
        except ValueError:
            pass  # the error below must not carry what was received
        raise ConnectionFailed(f"{self._place(path)} answers with something that is not JSON: {self._is_it}")

    def content(self, path: str, **query: Any) -> bytes:
        """The bytes of an answer to GET. Raises `CredentialsError`, `Refused`, `ConnectionFailed`."""
        return self._answer("GET", path, None, query).content

    def close(self) -> None:
        """Let go of the network."""
        self._session.close()

    def _answer(self, method: str, path: str, body: Any, query: dict[str, Any]) -> Any:
        answer, why = self._asked(method, path, body, query)
        if answer is None:  # outside of any `except`, so that nothing of what requests knows is chained to the error
            raise ConnectionFailed(f"{self._place(path)} {why}")
        self._check(answer, path)
        return answer

    def _asked(self, method: str, path: str, body: Any, query: dict[str, Any]) -> tuple[Any, str]:
        """The answer, or why there is none."""
        import requests

        for left in reversed(range(1 + _TRIES if method in _IDEMPOTENT else 1)):
            try:
                return self._session.request(
                    method, self.url + path, json=body, params=query, timeout=self._timeout, allow_redirects=False
                ), ""
            except requests.exceptions.ChunkedEncodingError as error:  # broke off in the body, where Retry is done
                why = _why(error)
                time.sleep(_BACKOFF if left else 0)
            except (requests.RequestException, OSError) as error:  # OSError: the file of certificates
                return None, _why(error)
        return None, why

    def _check(self, answer: Any, path: str) -> None:
        """Raise what a status that is no success means."""
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
        return f"is {plain_url(self.url)} an analogjax service? `analogjax serve` starts one; api_url says where it is."


def away(error: CloudError) -> bool:
    """Whether the service may be back in a while."""
    return isinstance(error, ConnectionFailed) or (isinstance(error, Refused) and error.status in AWAY)


def _session(credentials: Credentials, verify: bool | str) -> Any:
    try:
        import requests
        from requests.adapters import HTTPAdapter
    except ImportError:
        raise MissingPackage('CloudRunner needs requests: pip install "analogjax[cloud]".') from None
    session = requests.Session()
    session.headers["User-Agent"] = f"analogjax/{__version__}"
    session.auth = _bearer(credentials)
    session.verify = verify
    # a proxy that serves the outside world knows nothing of this machine
    session.trust_env = not is_loopback(urlsplit(credentials.url).hostname or "")
    session.mount("http://", HTTPAdapter(max_retries=retries()))
    session.mount("https://", HTTPAdapter(max_retries=retries()))
    return session


def _bearer(credentials: Credentials) -> Any:
    """What puts the token on a request. As `auth`, because a ~/.netrc would replace a plain header."""

    def sign(request: Any) -> Any:
        request.headers["Authorization"] = f"Bearer {credentials.token}"
        return request

    return sign


def retries() -> Any:
    """How often, and how long, an idempotent request is repeated."""
    from urllib3.util.retry import Retry

    class Patient(Retry):
        """Ends after some time, and does not sleep for as long as a server may ask."""

        until: float | None = None

        def new(self, **changed: Any) -> Any:
            made = super().new(**changed)
            made.until = self.until or time.monotonic() + _PATIENCE
            return made

        def is_exhausted(self) -> bool:
            return super().is_exhausted() or (self.until is not None and time.monotonic() > self.until)

        def get_retry_after(self, response: Any) -> float | None:
            asked = super().get_retry_after(response)
            return None if asked is None else min(asked, _LONGEST_PAUSE)

    return Patient(
        total=_TRIES, backoff_factor=_BACKOFF, backoff_max=_LONGEST_PAUSE, backoff_jitter=0.2, status_forcelist=AWAY,
        allowed_methods=_IDEMPOTENT, raise_on_status=False, redirect=0,
    )  # fmt: skip


def _why(error: Exception) -> str:
    """What happened, and how to mend it, in words of our own: those of requests may hold anything."""
    import requests

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
    """The service's own words."""
    try:
        told = answer.json()["message"]
    except (ValueError, KeyError, TypeError):
        told = None
    if not isinstance(told, str) or not told:
        return f"HTTP {answer.status_code} {answer.reason or ''}".strip() + "."
    return told[:4000]
