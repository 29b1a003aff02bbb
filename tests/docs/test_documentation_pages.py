"""Every Python block of every page runs, in the order in which the blocks of a page stand."""

import re
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_BLOCK = re.compile(r"^( *)```python\n(.*?)^ *```", flags=re.MULTILINE | re.DOTALL)
# pages that a test of their own runs, which says more about them
ELSEWHERE = {
    "algorithms.md": "tests/tile/test_algorithms_document.py",
    "cloud.md": "tests/cloud/test_documentation.py",
    "custom_device.md": "tests/test_custom_device.py",
    "custom_material.md": "tests/test_custom_material.py",
    "fitting.md": "tests/fit/test_fitting_document.py",
    "hardware_aware.md": "tests/test_training_document.py",
    "keras.md": "tests/compat/keras_layers/test_keras_document.py",
    "training.md": "tests/test_training_document.py",
}
SLOW = (
    "start/first_experiment.md",
    "start/thinking.md",
    "migration/aihwkit.md",
    "howto/sweeps.md",
)  # several models are compiled
WRITES = {  # files that a reader is told of
    "gallery.md": {"soft.png"},
    "howto/export.md": {"weights.npz"},
    "howto/own_data.md": {"flowers.csv"},
    "howto/runs.md": {"runs"},
    "howto/sweeps.md": {"sweep", "sweep.csv", "sweep.png"},
    "migration/aihwkit.md": {"model.pt"},
    "migration/aitoolbox.md": {"runs"},
    "start/first_experiment.md": {"runs"},
}


def blocks(page: Path) -> list[str]:
    """The Python of a page, block by block."""
    return [textwrap.dedent(found[2]) for found in _BLOCK.finditer(page.read_text(encoding="utf-8"))]


def name(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


PAGES = [page for page in sorted(DOCS.rglob("*.md")) if blocks(page)]
HERE = [page for page in PAGES if name(page) not in ELSEWHERE]


@pytest.mark.parametrize(
    "page", [pytest.param(p, id=name(p), marks=pytest.mark.slow if name(p) in SLOW else ()) for p in HERE]
)
def test_every_block_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # `compat.install()` is for whole programs: what it takes over is given back
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    scope: dict = {"__name__": "page"}
    before = set(sys.modules)
    try:
        for number, block in enumerate(blocks(page), 1):
            exec(compile(block, f"docs/{name(page)}, block {number}", "exec"), scope)
    finally:
        for taken in set(sys.modules) - before:
            if taken.partition(".")[0] in ("aihwkit", "aitoolbox", "torchvision"):
                del sys.modules[taken]
    assert {path.name for path in tmp_path.iterdir()} == WRITES.get(name(page), set())


def test_most_pages_run_here_and_the_others_where_it_is_said() -> None:
    assert len(HERE) >= 10 and set(map(name, PAGES)) > set(ELSEWHERE)
    for page, test in ELSEWHERE.items():
        assert page in (ROOT / test).read_text(encoding="utf-8")


def test_a_block_in_a_list_is_found_too() -> None:
    page = DOCS / "howto" / "compile_time.md"
    assert len(blocks(page)) == 1 and blocks(page)[0].startswith("import jax\n")


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_the_links_of_the_front_pages_lead_to_files(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert not [link for link in links if not (ROOT / link).exists()]
    assert name != "README.md" or len(links) > 15
