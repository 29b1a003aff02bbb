"""Where a client finds the service and its token.

In this order: arguments; `ANALOGJAX_API_TOKEN` or `AIHW_API_TOKEN`, `ANALOGJAX_API_URL` or `AIHW_API_URL`; then files
of this form, readable by their owner only:

    [cloud]
    api_token = YOUR_TOKEN
    api_url = http://127.0.0.1:8642

in `$XDG_CONFIG_HOME/aihwkit/aihwkit.conf`, `$XDG_CONFIG_HOME/aihwkit.conf` (by default below `~/.config`) and
`./aihwkit.conf`. The last one may belong to a stranger, for instance in a cloned repository. Its address is therefore
used only with the token in the same file; otherwise it could send a token of yours to the stranger.
"""

from __future__ import annotations

import configparser
import ipaddress
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from analogjax.cloud.errors import CredentialsError
from analogjax.cloud.places import DEFAULT_URL

_TOKEN_NAMES = ("ANALOGJAX_API_TOKEN", "AIHW_API_TOKEN")
_URL_NAMES = ("ANALOGJAX_API_URL", "AIHW_API_URL")
_HERE = Path("aihwkit.conf")


@dataclass(frozen=True)
class Credentials:
    """A service, the token that identifies the user, and where the token was found."""

    url: str
    token: str = field(repr=False)
    source: str


@dataclass(frozen=True)
class _Place:
    """One place that may hold a token, an address, both or neither."""

    name: str
    token: str | None
    url: str | None


def find_credentials(api_url: str | None = None, api_token: str | None = None) -> Credentials:
    """Find the service and the token to use; the module documents where.

    Raises `CredentialsError` if there is no token, an invalid one, or a malformed file. Warns of a file that others can
    read, and of a token that would be sent unencrypted.
    """
    url, token, source = look_up(api_url, api_token)
    if token is None:
        raise CredentialsError(_no_token())
    return checked(url or DEFAULT_URL, token, source)


def look_up(api_url: str | None = None, api_token: str | None = None) -> tuple[str | None, str | None, str]:
    """Address, token and source of the token, each `None` if not found. Raises and warns as above."""
    places = [_Place("the arguments", api_token or None, api_url or None), _environment()]
    if not (_first(places, "token") and _first(places, "url")):
        places += [_from_file(path) for path in config_files()]
    held = next((place for place in places if place.token), None)
    if held is None:
        return _first(places, "url"), None, ""
    return _address(places, held), held.token, held.name


def checked(url: str, token: str, source: str) -> Credentials:
    """Validate credentials. Raises `CredentialsError`; warns of a token that would be sent unencrypted."""
    return Credentials(_checked_url(url), _checked_token(token, source), source)


def config_files() -> list[Path]:
    """The files to read, in order; the one in the current folder comes last."""
    base = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    return [base / "aihwkit" / "aihwkit.conf", base / "aihwkit.conf", _HERE]


def read_config(path: Path) -> dict[str, str]:
    """Read the section `[cloud]` of a file; empty if there is no file, or no such section.

    Raises `CredentialsError` for a file that can't be read. Warns of a token that others can read.
    """
    # no part of the text may get into a message: it could be the token
    parser, wrong = configparser.ConfigParser(interpolation=None), ""
    try:
        with open(path, encoding="utf-8") as file:
            open_to_others = os.fstat(file.fileno()).st_mode & 0o044
            parser.read_file(file)
    except FileNotFoundError:
        return {}
    except (configparser.Error, UnicodeDecodeError) as error:
        wrong = f"is not of the form that is expected{_line(error)}. Write into it:\n\n{_LINES}"
    except OSError as error:
        wrong = f"can't be read ({error.strerror}): fix its permissions (chmod 600), or remove it."
    if wrong:
        raise CredentialsError(f"The file {path} {wrong}")
    found = dict(parser["cloud"]) if "cloud" in parser else {}
    if found.get("api_token") and open_to_others:
        warnings.warn(f"Others can read the token in {path}: chmod 600 {path}", UserWarning, stacklevel=4)
    return found


def is_loopback(host: str) -> bool:
    """Whether an address is this machine itself."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


_LINES = f"[cloud]\napi_token = YOUR_TOKEN\napi_url = {DEFAULT_URL}\n"


def _no_token() -> str:
    return (
        f"There is no token. Write into {config_files()[1]} (and chmod 600 it):\n\n{_LINES}\nor set "
        f"{_TOKEN_NAMES[0]} and {_URL_NAMES[0]}. Where the service runs, `analogjax cloud token create NAME` makes a "
        "token."
    )


def _environment() -> _Place:
    def first(names: tuple[str, ...]) -> tuple[str | None, str | None]:
        return next(((name, os.environ[name]) for name in names if os.environ.get(name)), (None, None))

    name, token = first(_TOKEN_NAMES)
    return _Place(name or "the environment", token, first(_URL_NAMES)[1])


def _from_file(path: Path) -> _Place:
    found: Mapping[str, str] = read_config(path)
    return _Place(_shown(path), found.get("api_token") or None, found.get("api_url") or None)


def _shown(path: Path) -> str:
    return f"./{path}" if path == _HERE else str(path)


def _first(places: list[_Place], name: str) -> str | None:
    return next((getattr(place, name) for place in places if getattr(place, name)), None)


def _address(places: list[_Place], held: _Place) -> str | None:
    """The first address, except that the file in the current folder provides one for its own token only."""
    here = next((place for place in places if place.name == _shown(_HERE)), None)
    trusted = _first([place for place in places if place is not here or here is held], "url")
    if here is not None and here is not held and here.url and trusted is None:
        warnings.warn(
            f"The api_url in {here.name} is not used, because the token comes from {held.name}: an address that lies "
            f"in a folder could lead it to a stranger. Set {_URL_NAMES[0]}, or write it into {config_files()[1]}.",
            UserWarning,
            stacklevel=3,
        )
    return trusted


def _checked_token(token: str, source: str) -> str:
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise CredentialsError(f"The token from {source} is invalid: it must be one word of ASCII characters.")
    return token


def _checked_url(url: str) -> str:
    """The address without a trailing slash. Raises `CredentialsError`; warns if a token would be sent unencrypted."""
    parts, wrong = urlsplit(url.strip()), ""
    try:
        host, _ = parts.hostname, parts.port  # a port that is no number raises here
    except ValueError:
        host = None
    if parts.scheme not in ("http", "https") or not host:
        wrong = "is no address: write http:// or https://, a host, and a port if need be"
    elif parts.username is not None or parts.password is not None:
        wrong = "holds a user name or a password: the token alone identifies you; leave them out"
    elif parts.query or parts.fragment:
        wrong = "has something after ? or #: give the address alone"
    if wrong or host is None:
        raise CredentialsError(f"api_url {plain_url(url)!r} {wrong}, such as {DEFAULT_URL}.")
    if parts.scheme == "http" and not is_loopback(host):
        warnings.warn(
            f"{plain_url(url)} is not encrypted: anyone on the way can read the token. Use https://.",
            UserWarning,
            stacklevel=4,
        )
    return url.strip().rstrip("/")


def plain_url(url: str) -> str:
    """An address that is safe to show: without user, password, query or fragment."""
    scheme, separator, rest = url.strip().partition("://")
    if not separator:
        return url.strip()[:200]
    place, slash, path = rest.partition("/")
    return f"{scheme}://{place.rpartition('@')[2]}{slash}{path}".partition("?")[0].partition("#")[0][:200]


def _line(error: Exception) -> str:
    number = getattr(error, "lineno", None)
    if number is None and getattr(error, "errors", None):
        number = error.errors[0][0]  # type: ignore[attr-defined]
    return f" (line {number})" if isinstance(number, int) else ""
