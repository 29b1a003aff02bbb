"""The reference has every public name, with a docstring, and the gallery every device, preset and material."""

import ast
import importlib
import inspect
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from analogjax.physics import devices, inference
from analogjax.tile import presets

ROOT = Path(__file__).parents[2]
SITE = ROOT / "tools" / "site"
sys.path.insert(0, str(SITE))
try:
    import exports
    import links
    import pages
finally:
    sys.path.remove(str(SITE))

PACKAGES = sorted({page.package for page in pages.PAGES.values()})
FOR_ITSELF = {"analogjax.testing": {"PulsedDevice"}}  # what a package imports for itself
ALWAYS = [
    one for one in PACKAGES if one not in ("compat.keras", "analogjax.callbacks")
]  # which need Keras or Lightning


def test_every_public_name_is_on_a_page() -> None:
    assert pages.missing() == []
    text = "\n".join(pages.texts().values())
    for package in PACKAGES:
        assert exports.exported(package), package
        for name in exports.exported(package):
            assert f"\n::: {package}.{name}\n" in text


def test_every_package_with_public_names_has_a_page() -> None:
    rooms = [path.parent for path in (ROOT / "analogjax").rglob("__init__.py")]
    names = {".".join(room.relative_to(ROOT).parts) for room in rooms if exports.exported(_module(room))}
    shown = {part for page in pages.PAGES.values() for part in (page.package, *page.names.split())}
    inner = ("compensations", "converters", "cloud.executors")  # their names are those of the package above
    left = {one for one in names - shown if not one.endswith(inner)}
    assert not left, f"give these a row in tools/site/pages.py: {left}"


def _module(folder: Path) -> str:
    return ".".join(folder.relative_to(ROOT).parts)


@pytest.mark.parametrize("package", ALWAYS)
def test_every_public_name_is_there_and_has_a_docstring(package: str) -> None:
    room = importlib.import_module(package)
    for name in exports.exported(package):
        value = getattr(room, name)
        plain = not (inspect.isclass(value) or callable(value))  # a constant is documented by the text below it
        text = _below(package, name) if plain else inspect.getdoc(value)
        assert text, f"{package}.{name} has no docstring"


def _below(package: str, name: str) -> str:
    """The string after the definition of a constant."""
    home = exports.exported(package)[name]
    body = ast.parse(exports.path_of(home).read_text()).body
    for node, after in pairwise(body):
        if name in exports.defined(node) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            return str(after.value.value)
    return ""


@pytest.mark.parametrize("package", [one for one in ALWAYS if one not in ("analogjax", "compat")])
def test_what_is_read_from_the_text_is_what_can_be_imported(package: str) -> None:
    """Classes and functions of ours that a package shows are those that its text exports."""
    room = importlib.import_module(package)
    if not hasattr(room, "__path__"):
        return  # a module shows what it imports for itself, too
    ours = {
        name for name in dir(room) if not name.startswith("_")
        and (inspect.isclass(getattr(room, name)) or inspect.isfunction(getattr(room, name)))
        and getattr(room, name).__module__.startswith("analogjax")
    }  # fmt: skip
    assert ours - set(exports.exported(package)) <= FOR_ITSELF.get(package, set())


def test_every_equation_of_a_docstring_is_shown() -> None:
    text = "\n".join(pages.texts().values())
    for module in (one for package in pages.WITH_EQUATIONS for one in exports.modules(package)):
        if pages.EQUATION.search(exports.docstring(module)):
            assert exports.docstring(module) in text, module


def test_every_device_preset_and_material_has_its_picture() -> None:
    text = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    known = set(devices.__all__) - {"FloatingPoint", "Ideal"}  # which have no pulses
    known |= {*presets.PRESETS, "DriftTable", "WriteVerify"}
    known |= {name for name, kind in vars(inference).items() if inspect.isclass(kind) and _is_material(kind)}
    pictures = {path.stem: path.stat().st_size for path in (ROOT / "docs" / "gallery").glob("*.webp")}
    assert set(pictures) == known
    assert all(f"(gallery/{name}.webp)" in text for name in known)
    assert sum(pictures.values()) < 1.5e6


def _is_material(kind: type) -> bool:
    return issubclass(kind, inference.Material) and kind is not inference.Material


def test_the_page_of_the_gallery_is_what_its_program_writes() -> None:
    made = subprocess.run(
        [sys.executable, "-c", "import gallery; print(gallery.page(), end='')"], cwd=SITE, capture_output=True,
        text=True, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    ).stdout  # fmt: skip
    assert made == (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")


def test_dead_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "index.html").write_text('<p id="here">')
    (tmp_path / "a.html").write_text(
        '<a href="b/">1</a><a href="b/index.html#here">2</a><a href="/b/#here">3</a><a href="https://x.org/y">4</a>'
        '<a href="b/index.html#gone">5</a><a href="c.html">6</a><script src="https://x.org/z.js"></script>'
    )
    found = links.check(tmp_path)
    assert (found.pages, found.internal, found.external) == (2, 5, 2)
    assert [problem.split(": ")[1] for problem in found.problems] == [
        "b/index.html#gone names no element of that page", "c.html leads to no file",
        "needs https://x.org/z.js, which is not in the site",
    ]  # fmt: skip


@pytest.mark.slow
def test_the_site_is_made_without_a_warning_or_a_dead_link(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason='the site needs pip install -e ".[docs]"')
    pytest.importorskip("material", reason='the site needs pip install -e ".[docs]"')
    site = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)], cwd=ROOT,
        capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    found = links.check(site)
    assert found.problems == [] and found.pages > 55 and found.internal > 5000
    assert (site / "assets" / "mathjax.js").stat().st_size > 1e6
