"""`analogjax.compat` is `compat`: the same modules, and the same command."""

import subprocess
import sys

import pytest

_SAME = """
import sys
import analogjax
assert "compat" not in sys.modules, "analogjax imports compat"
from analogjax import compat
import analogjax.compat
import compat as first
assert compat is first is analogjax.compat is sys.modules["analogjax.compat"]
import analogjax.compat.aihwkit.exceptions as a
import compat.aihwkit.exceptions as b
assert a is b and b.__name__ == b.__spec__.name == "compat.aihwkit.exceptions"
from analogjax.compat.alias import Alias
assert Alias is first.alias.Alias and sum(type(f).__name__ == "_SameModules" for f in sys.meta_path) == 1
try:
    import analogjax.compat.nothing
except ModuleNotFoundError as error:
    assert error.name == "analogjax.compat.nothing"
else:
    raise AssertionError("a module that is not there")
print("same")
"""
_OTHER_WAY = """
import compat.alias as b
import analogjax.compat.alias as a
assert a is b
print("same")
"""


def _run(*arguments: str, cwd=None) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=cwd)


@pytest.mark.parametrize("program", [_SAME, _OTHER_WAY], ids=["analogjax first", "compat first"])
def test_the_modules_are_the_same(program: str) -> None:
    done = _run("-c", program)
    assert (done.returncode, done.stdout) == (0, "same\n"), done.stderr


def test_the_command_is_the_same(tmp_path) -> None:
    (tmp_path / "script.py").write_text("import sys, aihwkit\nprint(aihwkit.__name__, sys.argv[1:], __name__)\n")
    for name in ("compat", "analogjax.compat"):
        done = _run("-m", name, "script.py", "one", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, "compat.aihwkit ['one'] __main__\n"), done.stderr
        assert _run("-m", name).returncode == 2
        assert "usage: python -m compat" in _run("-m", name, "--help").stdout
