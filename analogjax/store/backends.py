"""The kinds of places, one row each. To add one, add a row and, if fsspec's own client is not enough, a class."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from analogjax.store.medium import Backend, Medium, StoreError

_ANY = "analogjax.store.bucket:Bucket"  # serves whatever fsspec knows by the protocol
_NO_CACHE = {"use_listings_cache": False}  # a cache would hide what other writers commit

BACKENDS = (
    Backend("file", "analogjax.store.disk:Disk", aliases=("local",), has_buckets=False),
    Backend(
        "s3",
        "analogjax.store.s3:S3Bucket",
        aliases=("s3a",),
        package="s3fs",
        extra="s3",
        options=_NO_CACHE,
        credentials="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws",
        sign_in="`aws sso login`",
    ),
    Backend(
        "gs",
        "analogjax.store.google_storage:GoogleBucket",
        aliases=("gcs",),
        package="gcsfs",
        extra="gcs",
        options=_NO_CACHE,
        credentials="GOOGLE_APPLICATION_CREDENTIALS, gcloud auth",
        sign_in="`gcloud auth login`",
    ),
    Backend("memory", _ANY, has_buckets=False),
)


def backend_of(protocol: str) -> Backend:
    """The row of a protocol, or of one of its aliases. Raises `StoreError` if there is none."""
    for backend in BACKENDS:
        if protocol.lower() in (backend.protocol, *backend.aliases):
            return backend
    known = [f"{backend.protocol}://…" for backend in BACKENDS if backend.protocol != "file"]
    # what follows the protocol is not shown, there may be a password in it
    raise StoreError(f"{protocol}:// is not known; give a path, {', '.join(known[:-1])} or {known[-1]}.")


def connect(protocol: str, options: dict[str, Any]) -> Callable[[str], Medium]:
    """Return the function that makes the medium of any URL of this protocol; all share one client. Makes no request.

    Raises `MissingPackage`, and `StoreError` for options that the client does not accept.
    """
    backend = backend_of(protocol)
    module, _, name = backend.medium.partition(":")
    return getattr(import_module(module), name).connect(backend, {**backend.options, **options})
