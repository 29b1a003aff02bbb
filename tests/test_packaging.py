"""What is published: the wheel builds, holds the library alone, and runs where nothing else is installed."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from analogjax import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FIRST_EXAMPLE = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.S)[0]
SOURCES = (
    "analogjax",
    "compat",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "MANIFEST.in",
    "CHANGELOG.md",
    "CITATION.cff",
)


def test_every_place_has_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    releases = re.findall(
        r"^## \[(\S+)\](?: - (\S+))?$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.M
    )
    assert releases[0] == ("Unreleased", "")
    assert releases[1] == (__version__, citation["date-released"])
    assert _recipe()["context"]["version"] == citation["version"] == __version__


def test_the_recipe_asks_for_what_the_project_asks_for() -> None:
    recipe = _recipe()["requirements"]
    assert {one.replace(" ", "") for one in recipe["run"]} - {"python>=${{python_min}}"} == set(PROJECT["dependencies"])
    variants = yaml.safe_load((ROOT / "conda-recipe" / "variants.yaml").read_text(encoding="utf-8"))
    assert PROJECT["requires-python"] == f">={variants['python_min'][0]}"


def test_the_workflows_call_what_there_is() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))
    paths = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    assert [path.stem for path in paths] == ["docs", "release", "tests"]
    called = set()
    for path in paths:
        jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
        commands = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
        called |= {found for command in commands for found in re.findall(r"\bmake ([a-z-]+)", command)}
    assert called <= targets and called >= {"docs", "test", "wheel"}


def test_every_python_of_the_classifiers_has_tested_versions() -> None:
    minors = re.findall(r"Python :: 3\.(\d+)", "\n".join(PROJECT["classifiers"]))
    files = {"11": "constraints.txt"} | {minor: f"constraints-py3{minor}.txt" for minor in minors if minor != "11"}
    assert minors and all((ROOT / name).is_file() for name in files.values())


def _recipe() -> dict:
    return yaml.safe_load((ROOT / "conda-recipe" / "recipe.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a fresh sdist, and the wheel that was made of it."""
    pytest.importorskip("build.__main__", reason="pip install build")
    folder = tmp_path_factory.mktemp("packaging")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    for name in ("tests", "docs"):  # must not be taken
        (source / name).mkdir()
        (source / name / "test_stray.py").write_text("raise SystemExit\n")
    _run(sys.executable, "-m", "build", "--outdir", str(folder / "dist"), str(source), cwd=folder)
    return folder / "dist"


@pytest.mark.slow
def test_sdist_and_wheel_hold_the_library_alone(built: Path) -> None:
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    assert wheel.name == f"analogjax-{__version__}-py3-none-any.whl"  # of no processor: nothing is compiled
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    assert {name.partition("/")[0] for name in names} == {"analogjax", "compat", f"analogjax-{__version__}.dist-info"}
    for needed in ("analogjax/py.typed", "analogjax/data/digits.npz", "analogjax/cloud/service/page/index.html"):
        assert needed in names
    with tarfile.open(sdist) as file:
        names += file.getnames()
    assert not [name for name in names if re.search(r"(^|/)(tests?|docs|notebooks)/|test_|__pycache__", name)]


@pytest.mark.slow
def test_the_wheel_runs_where_nothing_else_is(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    venv.create(tmp_path / "clean", with_pip=True)
    python = str(tmp_path / "clean" / "bin" / "python")
    minor = sys.version_info.minor
    constraints = ROOT / ("constraints.txt" if minor == 11 else f"constraints-py3{minor}.txt")
    no_compiler = {"CC": "/bin/false", "CXX": "/bin/false"}
    _run(python, "-m", "pip", "install", "--quiet", "-c", str(constraints), str(wheel), **no_compiler)
    assert "No broken requirements" in _run(python, "-m", "pip", "check")
    (tmp_path / "first.py").write_text(FIRST_EXAMPLE)
    assert _run(python, "first.py", cwd=tmp_path).count("Epoch: ") == 4
    assert _run(python, "-m", "analogjax", "--version", cwd=tmp_path) == f"analogjax {__version__}\n"
    same = "from analogjax import compat; import compat as c; print(compat is c, 'torch' in __import__('sys').modules)"
    assert _run(python, "-c", same, cwd=tmp_path) == "True False\n"


def _run(*command: str, cwd: Path | None = None, **environment: str) -> str:
    """What a command prints; it sees nothing of this checkout or this environment's packages."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "XLA_FLAGS")}
    done = subprocess.run(command, cwd=cwd, env=kept | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
