"""Real object stores for the tests of this folder."""

from tests.store.servers import gcs_server, kind, patient, place, s3_server  # noqa: F401
