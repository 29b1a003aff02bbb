"""Savers of results to the local disk and then to Google Storage."""

from compat.aitoolbox.cloud.AWS.results_save import S3ResultsSaver
from compat.aitoolbox.cloud.bucket import ResultsPlace
from compat.aitoolbox.cloud.GoogleCloud.data_access import BaseGoogleStorageDataSaver


class BaseResultsGoogleStorageSaver(ResultsPlace, BaseGoogleStorageDataSaver):
    """Where results go in a bucket; see `Bucket` for the options."""


class GoogleStorageResultsSaver(BaseResultsGoogleStorageSaver, S3ResultsSaver):
    """Saves results: arguments and methods as of `S3ResultsSaver`."""
