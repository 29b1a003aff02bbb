"""schemathesis over the service's own description: thousands of made-up requests, no answer that it does not name."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cloud.running_service import service_in_thread
from tests.cloud.service.test_protocol import Idle

_CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.slow
def test_no_request_that_the_description_allows_or_forbids_breaks_the_service(tmp_path):
    program = Path(sys.executable).parent / "schemathesis"
    if not program.exists():
        pytest.skip("schemathesis is not installed")
    with service_in_thread(tmp_path / "home", Idle()) as service:
        done = subprocess.run(
            [
                program, "run", f"{service.url}/openapi.json", "-H", f"Authorization: Bearer {service.token}",
                "--checks", _CHECKS, "--max-examples", "20", "--generation-deterministic", "--max-time", "120",
            ],
            cwd=tmp_path, capture_output=True, text=True, timeout=400,
        )  # fmt: skip
        print(done.stdout[-2500:])
        assert done.returncode == 0, done.stdout[-6000:]
