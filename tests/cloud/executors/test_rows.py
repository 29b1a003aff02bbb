"""What every row of the table of engines promises: its settings are flags, and its module passes the contract."""

import argparse
import importlib
from dataclasses import fields

import pytest

from analogjax.cloud.command import _settings, add_serve_command
from analogjax.cloud.errors import ExecutorError
from analogjax.cloud.executors import EXECUTORS, Executor, executor_for
from analogjax.errors import ConfigError
from tests.cloud.executors.contract import Contract

every_engine = pytest.mark.parametrize("kind", EXECUTORS)


def settings(*arguments):
    """What `analogjax serve` makes of its arguments."""
    parser = argparse.ArgumentParser()
    add_serve_command(parser.add_subparsers())
    return _settings(parser.parse_args(["serve", *arguments]))


@every_engine
def test_it_starts_with_its_defaults_as_the_engine_of_that_name(kind, tmp_path):
    engine = executor_for(kind, folder=tmp_path / "jobs")
    assert engine.kind == kind and (engine.capacity is None or engine.capacity >= 1)
    assert all(hasattr(engine, name) for name in vars(Executor) if not name.startswith("_"))
    engine.close()


@every_engine
def test_its_settings_are_flags(kind, tmp_path):
    told = settings("--executor", kind, "--home", str(tmp_path))
    assert told.executor == kind
    assert told.executor_options == {one.name: one.default for one in fields(EXECUTORS[kind])}
    assert bool(told.worker_environment) is EXECUTORS[kind].shares_disk
    for one in fields(EXECUTORS[kind]):
        value = "2" if isinstance(one.default, int) else "http://elsewhere:1"
        flag = f"--{one.name.replace('_', '-')}"
        changed = settings("--executor", kind, flag, value, "--home", str(tmp_path)).executor_options
        assert changed == told.executor_options | {one.name: int(value) if value == "2" else value}
        if bounds := one.metadata["bounds"]:
            with pytest.raises(ConfigError, match=f"{flag} {bounds[1] + 1}: needs"):
                settings("--executor", kind, flag, str(bounds[1] + 1), "--home", str(tmp_path))


@every_engine
def test_a_setting_of_another_engine_is_refused(kind, tmp_path):
    known = {one.name for one in fields(EXECUTORS[kind])}
    others = {one.name for other in EXECUTORS.values() for one in fields(other)} - known
    for name in (*others, "qwertz"):
        with pytest.raises(ExecutorError, match=f"'{kind}' has no setting '{name}'; it has "):
            executor_for(kind, folder=tmp_path / "jobs", **{name: 1})
    assert not (tmp_path / "jobs").exists()


@every_engine
def test_it_is_held_to_the_contract(kind):
    module = importlib.import_module(f"tests.cloud.executors.test_{kind}")
    assert issubclass(module.TestContract, Contract)
