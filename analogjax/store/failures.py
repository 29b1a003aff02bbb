"""Failures of an object store in words: the clients' errors as `StoreError`s, without credentials."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from analogjax.store.medium import AlreadyExists, Backend, NoAnswer, NotFound, StoreError
from analogjax.store.transfer import code_of, may_pass, status_of, was_damaged


@contextmanager
def explained(where: str, hide: frozenset[str], backend: Backend) -> Iterator[None]:
    """Convert the clients' exceptions to `StoreError`s: where, why, and what to do, with `***` for everything in
    `hide`.
    """
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        text = str(error)
        shown = clean(text, hide)
        raise _explanation(where, error, shown, backend) from (error if shown == text else None)


def _explanation(where: str, error: Exception, text: str, backend: Backend) -> StoreError:
    status = status_of(error)
    if isinstance(error, FileNotFoundError):
        return NotFound(f"There is no {where}: check the name and that the bucket exists.")
    # not every store names the failed condition in its 412, so the clients may not know it
    if isinstance(error, FileExistsError) or status == 412:
        return AlreadyExists(f"{where} is there already: use another name, or delete it first.")
    if _has_expired(error, text):
        return StoreError(
            f"{where}: the credentials have expired ({text}). Get new ones, as with {backend.sign_in}; where they are "
            "passed on, in storage_options or environment variables, pass on the new ones."
        )
    if isinstance(error, PermissionError) or status in (401, 403) or text.startswith("Forbidden"):
        access = "Check that these credentials may read and write there."
        return StoreError(f"{where}: the store refuses access ({text}). {access}")
    return (NoAnswer if may_pass(error) else StoreError)(f"{where}: {_reason(error, text, backend)}")


def _has_expired(error: Exception, text: str) -> bool:
    codes = ("ExpiredToken", "TokenRefreshRequired", "RequestExpired")
    words = re.search(r"(token|credentials?|session)\b.{0,40}\bexpired", text, re.IGNORECASE)
    return code_of(error) in codes or any(code in text for code in codes) or words is not None


def clean(text: str, hide: frozenset[str]) -> str:
    """`text` with `***` for everything in `hide`, and for the passwords in URLs."""
    for secret in sorted(hide, key=len, reverse=True):
        for form in (secret, quote(secret), quote(secret, safe="")):  # as it is, and as in URLs
            text = text.replace(form, "***")
    return re.sub(r"(?<=://)[^/\s@]*:[^\s@]*(?=@)", "***", text)


_NO_CREDENTIALS = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "DefaultCredentialsError",
}


def _reason(error: Exception, text: str, backend: Backend) -> str:
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & _NO_CREDENTIALS or "credential" in text.lower():
        return (
            f"no usable credentials ({text}). Set them up as for the provider's own tools ({backend.credentials}), or "
            "pass storage_options."
        )
    kind = type(error).__name__
    if was_damaged(error):
        return f"damaged in transit or in the store, despite all retries ({kind}: {text}). Check the network."
    if may_pass(error):
        return f"the store did not answer properly, despite all retries ({kind}: {text}). Try again later."
    if isinstance(error, (TypeError, ValueError)) and status_of(error) is None and not text.startswith("Bad Request"):
        return f"the request could not be made ({kind}: {text}). Check the storage_options and the name."
    return f"the store refused ({kind}: {text})."
