"""`analogjax serve` and `analogjax cloud` as a person meets them: first steps, mistakes, Ctrl-C, a second one."""

import argparse
import builtins
import os
import re
import subprocess
import sys

import pytest
import requests

from analogjax.cli import main
from analogjax.cloud.command import _settings, add_serve_command
from tests.cloud.running_service import ServiceProcess, free_socket


def cloud(*arguments, home):
    return main(["cloud", "token", *arguments, "--home", str(home)])


def test_tokens_are_made_listed_and_revoked(tmp_path, capsys):
    assert cloud("create", "ada", "--label", "laptop", "--days", "7", home=tmp_path) == 0
    made = capsys.readouterr()
    assert re.fullmatch(r"ajx_[\w-]{43}\n", made.out) and "not shown again" in made.err
    assert "[cloud]\napi_token = " in made.err and "chmod 600" in made.err
    assert cloud("list", home=tmp_path) == 0
    listed = capsys.readouterr().out
    assert "ada" in listed and "laptop" in listed and "expires" in listed and made.out.strip() not in listed
    id = listed.splitlines()[1].split()[0]
    assert cloud("revoke", id, home=tmp_path) == 0 and "revoked" in capsys.readouterr().err
    cloud("list", home=tmp_path)
    assert "revoked" in capsys.readouterr().out
    assert cloud("revoke", "nothing", home=tmp_path) == 1 and "token list" in capsys.readouterr().err


def test_the_folder_is_readable_by_its_owner_alone(tmp_path):
    cloud("create", "ada", home=tmp_path / "home")
    assert (tmp_path / "home").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--host", "0.0.0.0"], "There is no token, and 0.0.0.0 is not an address of this machine alone"),
        (["--workers", "0"], "--workers 0: needs 1 or more"),
        (["--max-queued-each", "0"], "--max-queued-each 0: needs 1 to 10000"),
        (["--max-queued", "5", "--max-queued-each", "6"], "--max-queued-each 6: needs 1 to 5"),
        (["--lease", "0"], "--lease 0.0: needs more than 0"),
        (["--database", "mysql://x/y"], "give sqlite:/// or postgresql://"),
        (["--executor", "ray", "--ray-address", "nowhere"], "no URL"),
        (["--store", "ftp://x/y"], "ftp:// is not known"),
    ],
)
def test_what_can_not_be_served_is_told(tmp_path, capsys, arguments, told):
    with free_socket() as probe:
        port = probe.getsockname()[1]
    assert main(["serve", "--home", str(tmp_path / "home"), "--port", str(port), *arguments]) == (
        2 if told.startswith("--") else 1
    )
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "queued", "each"),
    [([], 10_000, 2000), (["--max-queued", "60"], 60, 12), (["--max-queued", "3"], 3, 1),
     (["--max-queued", "3", "--max-queued-each", "3"], 3, 3)],
)  # fmt: skip
def test_one_user_has_a_part_of_the_queue(tmp_path, arguments, queued, each):
    parser = argparse.ArgumentParser()
    add_serve_command(parser.add_subparsers())
    limits = _settings(parser.parse_args(["serve", "--home", str(tmp_path), *arguments])).limits
    assert (limits.queued, limits.queued_each) == (queued, each)


def test_a_port_that_is_taken(tmp_path, capsys):
    with free_socket() as taken:
        taken.listen()
        assert main(["serve", "--home", str(tmp_path), "--port", str(taken.getsockname()[1])]) == 1
    assert "give another --host or --port" in capsys.readouterr().err


def test_without_the_extra(tmp_path, capsys, monkeypatch):
    real = builtins.__import__

    def without(name, *given, **named):
        if name.split(".")[0] == "uvicorn":
            raise ImportError(name)
        return real(name, *given, **named)

    for name in [name for name in sys.modules if name.split(".")[0] == "uvicorn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("importlib.import_module", lambda name: without(name))
    assert main(["serve", "--home", str(tmp_path)]) == 1
    assert 'pip install "analogjax[cloud]"' in capsys.readouterr().err


def test_a_service_from_its_start_to_ctrl_c(tmp_path, capsys):
    service = ServiceProcess(tmp_path / "home")
    service.start()
    try:
        assert requests.get(f"{service.url}/", timeout=10).text.startswith("<!doctype html>")
        assert main(["serve", "--home", str(service.home), "--port", "1"]) == 1
        assert "Another analogjax serve uses" in capsys.readouterr().err
        token = service.token()  # while it runs
        headers = {"Authorization": f"Bearer {token}"}
        assert requests.get(f"{service.url}/api/v1/me", headers=headers, timeout=10).json()["user"] == "ada"
        environment = os.environ | {"ANALOGJAX_API_TOKEN": token, "ANALOGJAX_API_URL": service.url}
        listed = subprocess.run(service.command("cloud", "list"), env=environment, capture_output=True, text=True)
        assert (listed.returncode, listed.stdout) == (0, "")
        missing = subprocess.run(
            service.command("cloud", "status", "0" * 32), env=environment, capture_output=True, text=True
        )
        assert missing.returncode == 1 and "no such experiment" in missing.stderr and "Traceback" not in missing.stderr
    finally:
        service.stop()
    assert service.process.returncode in (0, 130)
    log = (tmp_path / "home.log").read_text()
    assert "There is no token yet" in log and "Traceback" not in log and token not in log
    assert all(line.startswith("{") for line in log.splitlines() if '"level"' in line)


@pytest.mark.parametrize(
    ("options", "machine", "share"),
    [
        ([], 64, 64), (["--workers", "4"], 64, 16), (["--workers", "32"], 64, 4), (["--workers", "8"], 2, 2),
        (["--max-memory", "3"], 64, 3), (["--executor", "slurm"], 64, None),
    ],
)  # fmt: skip
def test_what_one_experiment_may_use_of_the_memory(monkeypatch, tmp_path, options, machine, share):
    seen = []
    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": machine * 2**18}.get)
    monkeypatch.setattr("analogjax.cloud.service.server.serve", seen.append)
    assert main(["serve", "--home", str(tmp_path), *options]) == 0
    assert seen[0].limits.memory == (None if share is None else share * 2**30)


def test_options_of_operation_are_checked(tmp_path, capsys):
    (tmp_path / "empty").touch()
    for options, words in (
        (["--webhook", "ftp://x"], "http:// or https://"),
        (["--webhook-secret-file", str(tmp_path / "none")], "can't be"),
        (["--webhook-secret-file", str(tmp_path / "empty")], "write a key"), (["--max-memory", "0"], "more than 0"),
        (["--retention-days", "-1"], "more than 0"), (["--max-stored", "nan"], "more than 0"),
    ):  # fmt: skip
        assert main(["serve", "--home", str(tmp_path), *options]) == 2, options
        assert words in capsys.readouterr().err
