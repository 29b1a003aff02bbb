"""The notebooks are clean as stored, and run from top to bottom."""

import ast
import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
assert NOTEBOOKS, "no notebooks: the tests below would run for none"
sys.path.insert(0, str(ROOT / "tools"))
try:
    import notebooks
finally:
    sys.path.remove(str(ROOT / "tools"))
PICTURES = {"01_main_job": 3, "02_devices_and_tiki_taka": 3, "03_hardware_aware_and_drift": 3}  # of the others: one
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|home|root|tmp|Users|mnt|content)/|\b[A-Z]:\\\\")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@each_notebook
def test_stored_clean(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not MACHINE_PATH.findall(text)
    book = nbformat.reads(text, as_version=4)
    nbformat.validate(book)
    assert (book.nbformat, book.metadata.kernelspec.name) == (4, "python3")
    for cell in _code(book):
        assert cell.outputs == [] and cell.execution_count is None, cell.id
        ast.parse(TransformerManager().transform_cell(cell.source), cell.id)


@each_notebook
def test_stored_in_its_form(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == notebooks.in_form(path, notebooks.repository())
    ids = [cell.id for cell in nbformat.read(path, as_version=4).cells]
    assert ids[0] == ("badge" if notebooks.repository() else "title") and {"install", "setup"} < set(ids)


def test_a_badge_leads_to_the_repository(tmp_path: Path) -> None:
    path = tmp_path / "book.ipynb"
    cell = nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output("stream", text="1")])
    book = nbformat.v4.new_notebook(cells=[cell])
    nbformat.write(book, path)
    made = nbformat.reads(notebooks.in_form(path, "someone/analogjax"), as_version=4)
    assert made.cells[0].source.endswith("/github/someone/analogjax/blob/main/notebooks/book.ipynb)")
    assert made.cells[1].outputs == []
    path.write_text(notebooks.in_form(path, "someone/analogjax"))
    assert notebooks.in_form(path, "someone/analogjax") == path.read_text()
    assert len(nbformat.reads(notebooks.in_form(path, None), as_version=4).cells) == 1


def test_the_page_lists_all_notebooks() -> None:
    text = (ROOT / "docs" / "notebooks.md").read_text(encoding="utf-8")
    assert re.findall(r"`(\w+)\.ipynb`", text) == [path.stem for path in NOTEBOOKS]


@pytest.mark.slow
@each_notebook
def test_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nbclient import NotebookClient

    for name, value in _environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    book = nbformat.read(path, as_version=4)
    client = NotebookClient(
        book, timeout=500, kernel_name="python3", allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    outputs = [(cell.id, output) for cell in _code(book) for output in cell.outputs]
    assert [(name, "\n".join(output.traceback)) for name, output in outputs if output.output_type == "error"] == []
    assert not [(name, output.text) for name, output in outputs if "Traceback" in output.get("text", "")]
    drawn = {name for name, output in outputs if "image/png" in output.get("data", {})}
    assert len(drawn) >= PICTURES.get(path.stem, 1)


def _code(book: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in book.cells if cell.cell_type == "code"]


def _environment(folder: Path) -> dict[str, str]:
    """A small run by this very interpreter, with nothing of the user's and nothing from the network."""
    from ipykernel.kernelspec import write_kernel_spec

    write_kernel_spec(folder / "jupyter" / "kernels" / "python3")
    nowhere = "http://127.0.0.1:9"  # the discard port: what is not on this machine can't be had, at once
    return {
        "ANALOGJAX_NOTEBOOK_EPOCHS": "1",
        "ANALOGJAX_NOTEBOOK_ITEMS": "256",
        "ANALOGJAX_DATA": str(folder / "data"),
        "http_proxy": nowhere,
        "https_proxy": nowhere,
        "no_proxy": "127.0.0.1",  # a service that a notebook starts
        "JUPYTER_PATH": str(folder / "jupyter"),  # searched before all other places for kernels
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
        "PYTHONPATH": str(ROOT),
        "JAX_COMPILATION_CACHE_DIR": os.environ.get("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".jax_cache")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
