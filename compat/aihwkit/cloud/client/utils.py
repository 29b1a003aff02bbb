"""The user's configuration."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from analogjax.cloud import credentials as native
from analogjax.cloud.errors import CredentialsError as NativeCredentialsError
from compat.aihwkit.cloud.client.exceptions import CredentialsError

DEFAULT_URL = "https://api-aihw-composer.draco.res.ibm.com"


class ClientConfiguration:
    """Token and address, from the environment (`AIHW_API_TOKEN`) and `aihwkit.conf` as aihwkit finds them.

    The file is also read from the documented place, `~/.config/aihwkit.conf`, and the address in `AIHW_API_URL`. An
    address in `./aihwkit.conf` is not combined with a token from elsewhere, as it would be in aihwkit: a cloned
    repository could steal the token with it. Raises `CredentialsError` for a malformed file.
    """

    def __init__(self, api_url: str | None = None, api_token: str | None = None) -> None:
        self.stored_config = self.parse_config()
        with _as_ours():
            found_url, self._token, self.source = native.look_up(api_url, api_token)
        self._url = found_url or DEFAULT_URL

    def parse_config(self) -> dict[str, str]:
        """What the files hold, the more important ones over the others."""
        merged: dict[str, str] = {}
        with _as_ours():
            for path in reversed(native.config_files()):
                merged |= native.read_config(path)
        return merged

    @property
    def token(self) -> str | None:
        """The token, or `None`."""
        return self._token

    @property
    def url(self) -> str:
        """The address of the service."""
        return self._url


def find_session(api_url: str | None, api_token: str | None, verify: bool | str) -> Any:
    """A session with the service that is configured, not logged in yet. Raises `CredentialsError`."""
    from compat.aihwkit.cloud.client.session import ApiSession

    config = ClientConfiguration(api_url, api_token)
    if config.token is None:
        raise CredentialsError(
            f"No credentials could be found. Write into {native.config_files()[0]} (and chmod 600 it):\n\n"
            f"[cloud]\napi_token = YOUR_TOKEN\napi_url = {native.DEFAULT_URL}\n\nor set AIHW_API_TOKEN. Without "
            f"api_url the service is {DEFAULT_URL}."
        )
    with _as_ours():
        found = native.checked(config.url, config.token, config.source)
    return ApiSession(found.url, found.token, verify)


@contextmanager
def _as_ours() -> Iterator[None]:
    """Native errors become those that programs for aihwkit catch."""
    try:
        yield
    except NativeCredentialsError as error:
        raise CredentialsError(str(error)) from None
