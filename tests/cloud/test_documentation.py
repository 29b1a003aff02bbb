"""The five minutes of docs/cloud.md, as they stand: start the service, write the config file, run, and the rest."""

import os
import re
import subprocess
import sys

import pytest

from tests.cloud.running_service import ROOT, ServiceProcess

TEXT = (ROOT / "docs" / "cloud.md").read_text()


@pytest.mark.slow
def test_the_five_minutes(tmp_path):
    program = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)[1]
    config = re.search(r"```\n(\[cloud\]\n.*?)```", TEXT, re.DOTALL)[1]
    program += "\nassert job.status().name == 'COMPLETED' and results[-1]['accuracy'] > 0.8, results\n"
    program += "assert trained.variables.tiles and [one.id for one in earlier] == [job.id]\n"
    service = ServiceProcess(tmp_path / "home", (), {"JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache")})
    service.start()
    try:
        written = config.replace("YOUR_TOKEN", service.token()).replace("http://127.0.0.1:8642", service.url)
        (tmp_path / "aihwkit.conf").write_text(written)
        os.chmod(tmp_path / "aihwkit.conf", 0o600)
        (tmp_path / "program.py").write_text(program)
        environment = {k: v for k, v in os.environ.items() if not k.endswith(("_API_TOKEN", "_API_URL"))}
        done = subprocess.run(
            [sys.executable, "program.py"], cwd=tmp_path, env=environment | {"XDG_CONFIG_HOME": str(tmp_path)},
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("Epoch: ") == 4
    finally:
        service.stop()


def test_every_picture_is_there():
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", TEXT)
    assert len(pictures) == 4 and all((ROOT / "docs" / picture).is_file() for picture in pictures)
