"""A service whose records are in PostgreSQL and whose files are in S3: real servers on loopback, a real run."""

import json

import pytest
import sqlalchemy as sa

from analogjax.cloud.executors.local import LocalExecutor
from analogjax.store import Location
from tests.cloud.experiments import submission
from tests.cloud.running_service import end_all, service_in_thread
from tests.cloud.service.conftest import postgres  # noqa: F401
from tests.cloud.test_remote_runs import environment
from tests.store.servers import s3_server  # noqa: F401

_KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.mark.slow
def test_records_in_postgresql_and_files_in_s3(tmp_path, request, monkeypatch):
    server, s3 = request.getfixturevalue("postgres"), request.getfixturevalue("s3_server")
    for name, value in _KEYS.items():
        monkeypatch.setenv(name, value)
    bucket = s3.bucket()
    admin = sa.create_engine(f"{server}/postgres".replace("://", "+psycopg://"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text("CREATE DATABASE service"))
    admin.dispose()
    executor = LocalExecutor(tmp_path / "jobs", workers=1)
    given = {
        "database": f"{server}/service", "store": f"s3://{bucket}/experiments-of-all", "endpoint_url": s3.url,
        "worker_environment": environment() | _KEYS,
    }  # fmt: skip
    with service_in_thread(tmp_path / "home", executor, **given) as service:
        assert service.put(f"/api/v1/experiments/{'a' * 8}", json=submission(3)).status_code == 201
        ended = service.until("a" * 8, "completed", "failed", seconds=180)
        assert ended["status"] == "completed" and len(ended["epochs"]) == 3
        results = service.get(f"/api/v1/experiments/{'a' * 8}/files/results.json").json()
        assert results == ended["epochs"]
    end_all(executor)
    assert not list((tmp_path / "home").glob("*.db")) and not (tmp_path / "home" / "store").exists()
    place = Location.of(f"s3://{bucket}/experiments-of-all", storage_options={"endpoint_url": s3.url})
    kept = json.loads(place.read(f"experiments/{'a' * 8}/attempts/1/outcome.json"))
    assert kept["status"] == "completed" and "output.pb" in kept["files"]
