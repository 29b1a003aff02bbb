"""The notebooks are clean as stored, and run from top to bottom."""

import ast
import os
import re
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
assert NOTEBOOKS, "no notebooks: the tests below would run for none"
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
    problems = [
        (cell.id, "\n".join(output.traceback))
        for cell in _code(book)
        for output in cell.outputs
        if output.output_type == "error"
    ]
    assert problems == []
    assert sum(any("image/png" in output.get("data", {}) for output in cell.outputs) for cell in _code(book)) >= 3


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
        "JUPYTER_PATH": str(folder / "jupyter"),  # searched before all other places for kernels
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
        "PYTHONPATH": str(ROOT),
        "JAX_COMPILATION_CACHE_DIR": os.environ.get("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".jax_cache")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
