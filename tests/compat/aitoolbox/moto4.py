"""A pytest plugin that gives moto 5 back the `mock_s3` of moto 4, for aitoolbox's own tests.

    PYTHONPATH=<checkout>:<checkout>/tests/compat/aitoolbox python -m compat -m pytest -p moto4 ...

moto's patches of botocore don't reach s3fs, so this decorator starts one moto server on loopback for the session, and
each decorated test finds it empty.
"""

import functools
import os
import urllib.request

import moto
from moto.server import ThreadedMotoServer

_ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@functools.cache
def _server_url():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    return f"http://{host}:{port}"


def mock_s3(test):
    """Runs `test` with an empty S3."""

    @functools.wraps(test)
    def with_server(*args, **kwargs):
        url = _server_url()
        request = urllib.request.Request(f"{url}/moto-api/reset", method="POST")
        urllib.request.urlopen(request, timeout=10).close()
        before = dict(os.environ)
        os.environ.update(_ENVIRONMENT, AWS_ENDPOINT_URL=url)
        try:
            return test(*args, **kwargs)
        finally:
            os.environ.clear()
            os.environ.update(before)

    return with_server


moto.mock_s3 = mock_s3
