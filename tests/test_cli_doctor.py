"""`analogjax doctor`: what is fine, what is missing, and what must be mended."""

import os
import stat

import pytest

from analogjax import doctor_command
from analogjax.cli import main


def test_a_machine_that_is_ready(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "[ ok ] Digits: comes with analogjax" in out and out.endswith("Ready.\n") and "JAX computes on cpu" in out
    assert "a compiled product is right" in out and not list(tmp_path.iterdir())


def test_a_broken_jaxlib_is_named_with_its_fault(monkeypatch, capsys):
    real = doctor_command._version
    monkeypatch.setattr(doctor_command, "_version", lambda name: "0.11.1" if name == "jaxlib" else real(name))
    assert main(["doctor"]) == 1
    assert "quadratic time" in capsys.readouterr().out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch, capsys):
    (tmp_path / "shut").mkdir()
    monkeypatch.chdir(tmp_path / "shut")
    (tmp_path / "shut").chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert main(["doctor"]) == 1
    assert "can't be written" in capsys.readouterr().out


def test_a_check_that_fails_does_not_hide_the_others(monkeypatch, capsys):
    def broken(*_):
        raise OSError("gone")

    monkeypatch.setattr(doctor_command, "processor", broken)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "could not be checked (OSError: gone)" in out and "data sets:" in out


def test_every_release_that_is_excluded_is_known():
    from pathlib import Path

    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    for release in doctor_command._BROKEN:
        assert f"!={release}" in text
