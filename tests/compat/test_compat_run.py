"""`python -m compat`: whole programs, unchanged."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from compat.__main__ import main

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(__file__).parent / "scripts"
ALONE = {"PYTHONPATH": str(ROOT), "PATH": "", "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache")}


def run(*arguments, cwd=ROOT):
    return subprocess.run([sys.executable, "-W", "error", "-m", "compat", *map(str, arguments)], capture_output=True,
                          text=True, cwd=cwd, timeout=300, env=ALONE)  # fmt: skip


@pytest.mark.parametrize(
    "name", ["one_layer", *(pytest.param(n, marks=pytest.mark.slow) for n in ("three_layers", "unit_cell"))]
)
def test_scripts_learn(name):
    done = run(SCRIPTS / f"{name}.py")
    assert done.returncode == 0, done.stderr
    losses = [float(loss) for loss in re.findall(r"loss (\S+)", done.stdout)]
    assert len(losses) == 60 and losses[-1] < 0.5 * losses[0]
    assert done.stderr == ""


def test_an_experiment_with_arguments():
    done = run(SCRIPTS / "experiment.py", 3)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) > 0.9 and "Epoch: 3, loss: " in done.stdout
    assert done.stderr == ""


def test_modules_exit_codes_and_tracebacks_pass_through(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import sys, aihwkit, neighbour\nprint(__name__, sys.argv[1:], aihwkit.__version__)\n"
        "if sys.argv[1] == 'fail':\n    raise RuntimeError('as written')\nsys.exit(7)\n"
    )
    (tmp_path / "neighbour.py").write_text("")
    as_module = run("-m", "mine", "a", "-b", cwd=tmp_path)
    assert as_module.stdout == "__main__ ['a', '-b'] 1.2.0\n" and as_module.returncode == 7, as_module.stderr
    as_script = run(tmp_path / "mine.py", "fail")
    assert as_script.returncode == 1
    assert "raise RuntimeError('as written')" in as_script.stderr and as_script.stderr.endswith("as written\n")


def test_wrong_use(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["compat"])
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")  # this process keeps what it has
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert main([]) == 2 and main(["-m"]) == 2
    assert "usage: python -m compat script.py" in capsys.readouterr().err
    assert main(["--help"]) == 0
    assert "-m module" in capsys.readouterr().out
    assert main([str(tmp_path / "missing.py"), "x"]) == 2
    assert "there is no file" in capsys.readouterr().err
    assert main([str(tmp_path)]) == 2
    assert main(["-m", "no_such_module_at_all"]) == 2
    assert "no_such_module_at_all" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["module", "install"])
def test_processes_that_are_started_anew_find_the_same_names(how):
    script = SCRIPTS / "spawned.py"
    command = ["-m", "compat", str(script)] if how == "module" else [str(script), "install"]
    done = subprocess.run([sys.executable, "-W", "error", *command], capture_output=True, text=True, timeout=300,
                          env=ALONE)  # fmt: skip
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.splitlines() == ["True", "FloatingPointRPUConfig compat.aitoolbox"]


def test_compiled_programs_are_kept_for_the_next_run(tmp_path):
    """In the user's cache folder; `JAX_COMPILATION_CACHE_DIR` names another, or none."""
    (tmp_path / "one.py").write_text(
        "import torch\nfrom aihwkit.nn import AnalogLinear\nprint(AnalogLinear(2, 2)(torch.ones(1, 2)).shape)\n"
    )
    (tmp_path / "blocked").write_text("")
    places = {
        "XDG_CACHE_HOME": (tmp_path / "home", "home/analogjax/programs/*/*-cache"),
        "JAX_COMPILATION_CACHE_DIR": (tmp_path / "mine", "mine/*/*-cache"),
    }
    environment = {name: value for name, value in os.environ.items() if "CACHE" not in name}
    runs = [({name: str(folder)}, found) for name, (folder, found) in places.items()]
    runs += [({"XDG_CACHE_HOME": str(tmp_path / "none"), "JAX_COMPILATION_CACHE_DIR": ""}, None)]
    runs += [({"XDG_CACHE_HOME": str(tmp_path / "blocked")}, None)]
    for more, found in [*runs, runs[0]]:  # XLA would write pages of errors about a program that it finds
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "compat", str(tmp_path / "one.py")], capture_output=True, text=True,
            timeout=300, cwd=ROOT, env=environment | more | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"},
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, "torch.Size([1, 2])\n", "")
        assert found is None or list(tmp_path.glob(found))
    assert not (tmp_path / "none").exists()
