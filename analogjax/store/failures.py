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
        told = str(error)
        shown = clean(told, hide)
        raise _explanation(where, error, shown, backend) from (error if shown == told else None)


def _explanation(where: str, error: Exception, told: str, backend: Backend) -> StoreError:
    status = status_of(error)
    if isinstance(error, FileNotFoundError):
        return NotFound(f"There is no {where}: check the name and that the bucket exists.")
    # not every store says in its 412 which condition failed, and then the clients can't tell
    if isinstance(error, FileExistsError) or status == 412:
        return AlreadyExists(f"{where} is there already: use another name, or delete it first.")
    if _has_expired(error, told):
        return StoreError(
            f"{where}: the credentials have expired ({told}). Get new ones, as with {backend.sign_in}; where they are "
            "passed on, in storage_options or environment variables, pass on the new ones."
        )
    if isinstance(error, PermissionError) or status in (401, 403) or told.startswith("Forbidden"):
        access = "Check that these credentials may read and write there."
        return StoreError(f"{where}: the store refuses access ({told}). {access}")
    return (NoAnswer if may_pass(error) else StoreError)(f"{where}: {_reason(error, told, backend)}")


def _has_expired(error: Exception, told: str) -> bool:
    codes = ("ExpiredToken", "TokenRefreshRequired", "RequestExpired")
    words = re.search(r"(token|credentials?|session)\b.{0,40}\bexpired", told, re.IGNORECASE)
    return code_of(error) in codes or any(code in told for code in codes) or words is not None


def clean(told: str, hide: frozenset[str]) -> str:
    """`told` with `***` for everything in `hide`, and for the passwords in URLs."""
    for secret in sorted(hide, key=len, reverse=True):
        for form in (secret, quote(secret), quote(secret, safe="")):  # as it is, and as in URLs
            told = told.replace(form, "***")
    return re.sub(r"(?<=://)[^/\s@]*:[^\s@]*(?=@)", "***", told)


_NO_CREDENTIALS = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "DefaultCredentialsError",
}


def _reason(error: Exception, told: str, backend: Backend) -> str:
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & _NO_CREDENTIALS or "credential" in told.lower():
        return (
            f"no usable credentials ({told}). Set them up as for the provider's own tools ({backend.credentials}), or "
            "pass storage_options."
        )
    kind = type(error).__name__
    if was_damaged(error):
        return f"damaged on the way or in the store, however often it was moved ({kind}: {told}). Check the network."
    if may_pass(error):
        return f"the store did not answer properly, however often it was asked ({kind}: {told}). Try again later."
    if isinstance(error, (TypeError, ValueError)) and status_of(error) is None and not told.startswith("Bad Request"):
        return f"the request could not be made ({kind}: {told}). Check the storage_options and the name."
    return f"the store refused ({kind}: {told})."
