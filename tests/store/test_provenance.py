"""Where a result comes from, and that no secret is written down with it."""

import json
import os
import subprocess
import sys

import pytest

from analogjax.store import redact
from analogjax.store.process import alive, this_process
from analogjax.store.provenance import provenance

SECRET = "sUp3r-s3cret/Value+42"


def test_versions_machine_and_command_are_plain_values():
    found = json.loads(json.dumps(provenance()))
    import jax

    assert found["packages"]["jax"] == jax.__version__ and found["packages"]["orbax-checkpoint"]
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["command"] == redact.command(sys.orig_argv)
    assert found["time"].endswith("+00:00") and found["analogjax"] and found["host"] and found["platform"]


def test_no_package_is_imported_for_its_version():
    program = """
import sys, types
for name, path in (("analogjax", sys.argv[1]), ("analogjax.store", sys.argv[1] + "/store")):  # past their __init__
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [path]
from analogjax.store.provenance import provenance
assert provenance()["packages"]["jax"] and not {"jax", "numpy", "torch", "s3fs"} & set(sys.modules)
"""
    import analogjax

    subprocess.run([sys.executable, "-c", program, os.path.dirname(analogjax.__file__)], check=True, timeout=60)


def test_only_harmless_variables_are_kept(monkeypatch):
    for name in list(os.environ):
        monkeypatch.delenv(name)
    kept = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--a=1", "CUDA_VISIBLE_DEVICES": "0", "SLURM_JOB_ID": "7"}
    dropped = ("AWS_SECRET_ACCESS_KEY", "JAX_API_TOKEN", "XLA_PASSWORD", "JAX_CREDENTIALS", "HOME", "OTHER")
    for name in dropped:
        monkeypatch.setenv(name, SECRET)
    for name, value in kept.items():
        monkeypatch.setenv(name, value)
    assert provenance()["environment"] == kept


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)

    def git(*arguments):
        person = ("-c", "user.name=a", "-c", "user.email=a@b")
        done = subprocess.run(["git", *person, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    (tmp_path / "a.txt").write_text("a")
    git("add", "a.txt")
    git("commit", "-q", "-m", "one")
    return git


@pytest.fixture(autouse=True)
def forget():
    """What was found in another test's folder."""
    from analogjax.store import provenance as module

    yield
    module._git.cache_clear()


def test_commit_and_changes(repository, tmp_path):
    from analogjax.store import provenance as module

    commit = repository("rev-parse", "HEAD")
    (tmp_path / "notes.txt").write_text("not tracked")
    assert provenance()["git"] == {"commit": commit, "dirty": False}
    (tmp_path / "a.txt").write_text("b")
    assert provenance()["git"]["dirty"] is False  # looked up once
    module._git.cache_clear()
    index = (tmp_path / ".git" / "index").read_bytes()
    assert provenance()["git"] == {"commit": commit, "dirty": True}
    assert (tmp_path / ".git" / "index").read_bytes() == index


def test_no_repository_no_git_and_a_git_that_hangs(tmp_path, monkeypatch, repository):
    from analogjax.store import provenance as module

    (tmp_path / "git").write_text("#!/bin/sh\nexec sleep 30\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setattr(module, "_GIT_TIMEOUT", 0.05)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert provenance()["git"] is None
    module._git.cache_clear()
    monkeypatch.setenv("PATH", "")
    assert provenance()["git"] is None


def test_outside_a_repository_and_in_a_folder_that_is_gone(tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.chdir(folder)
    assert provenance()["git"] is None
    folder.rmdir()
    assert provenance()["git"] is None
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--token", SECRET],
        [f"--token={SECRET}"],
        ["--hf-token", "-" + SECRET],
        ["--client_secret", SECRET],
        [f"--db.password={SECRET}"],
        ["--aws-key", SECRET],
        [f"password={SECRET}"],
        [f"s3://user:{SECRET}@host/bucket"],
        [f"https://h/x?X-Amz-Signature={SECRET}&y=1"],
        ["AKIAIOSFODNN7EXAMPLE"],
        ["--header", f"Authorization: Bearer {SECRET}"],
        ["-c", f"connect(password='{SECRET}')"],
        ["-c", f'{{"aws_secret_access_key": "{SECRET}"}}'],
        ["ghp_" + 36 * "a"],
        ["-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"],
    ],
)
def test_secrets_leave_the_command_line(arguments):
    clean = redact.command(["python", "train.py", *arguments, "--epochs", "5"])
    assert SECRET not in " ".join(clean) and "***" in " ".join(clean)
    for shape in ("AKIA", "ghp_", "MIIE"):
        assert shape not in " ".join(clean)
    assert clean[:2] == ["python", "train.py"] and clean[-2:] == ["--epochs", "5"]


def test_the_rest_of_a_command_line_stays():
    plain = [
        "python",
        "-m",
        "x",
        "--use-key",
        "--set",
        "dw_min=0.002",
        "s3://bucket/run:1",
        "http://localhost:9000",
        "-v",
    ]
    assert redact.command(plain) == plain


def test_configurations_keep_everyday_words_and_lose_secrets():
    config = {
        "tokenizer": "bpe", "key": "x", "num_tokens": 5, "token": "", "layers": (256, 128), "rate": 0.5, "none": None,
    }  # fmt: skip
    assert redact.config(config) == config | {"layers": [256, 128]}
    secret = {"apiKey": SECRET, "s3": [{"secret-access-key": SECRET}], "token": SECRET, "url": f"s3://a:{SECRET}@b"}
    assert SECRET not in json.dumps(redact.config(secret))


@pytest.mark.skipif(not os.path.exists("/proc/self/ns/pid"), reason="process numbers are looked up in Linux's /proc")
def test_whether_a_process_lives_is_known_here_and_nowhere_else():
    mine = this_process()
    assert alive(json.loads(json.dumps(mine))) is True
    assert alive(mine | {"started": 0}) is False  # the number was given to another process
    assert alive(mine | {"pid": 2**30}) is False
    assert alive(mine | {"machine": "another boot"}) is None
    assert alive(None) is None and alive({"pid": 1}) is None
