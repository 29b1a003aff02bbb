"""Brings the stored notebooks into their form: `python tools/notebooks.py` writes those that are not in it.

Outputs and counts are removed; the cell `install` is the one below, with the extras that its metadata name; and there
is a Colab badge on top if `[project.urls]` of pyproject.toml has a `Repository` on GitHub, from which Colab opens it.
"""

import tomllib
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
_INSTALL = """\
# Installs analogjax if it is missing: from a wheel beside this notebook, else from the package index.
import importlib.util
from pathlib import Path

if importlib.util.find_spec("analogjax") is None:
    wheels = sorted(Path(".").glob("analogjax-*.whl"))
    package = (str(wheels[-1].resolve()) if wheels else "analogjax") + "[{extras}]"
    %pip install -q "{{package}}\""""
_BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({address})"


def repository() -> str | None:
    """`owner/name` of the project on GitHub, if pyproject.toml says so."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    address = project.get("urls", {}).get("Repository", "").removesuffix("/").removesuffix(".git")
    return address.partition("github.com/")[2] or None


def in_form(path: Path, repository: str | None) -> str:
    """The text of a notebook as it should be stored."""
    book = nbformat.read(path, as_version=4)
    cells = [cell for cell in book.cells if cell.get("id") != "badge"]
    for cell in cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if cell.get("id") == "install":
            cell.source = _INSTALL.format(extras=",".join(cell.metadata["extras"]))
    if repository:
        address = f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{path.name}"
        badge = nbformat.v4.new_markdown_cell(_BADGE.format(address=address))
        badge["id"] = "badge"
        cells.insert(0, badge)
    book.cells = cells
    book.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return nbformat.writes(book, indent=1) + "\n"


def main() -> None:
    """Write each notebook that is not in its form."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        text = in_form(path, repository())
        if text != path.read_text(encoding="utf-8"):
            path.write_text(text, encoding="utf-8")
            print(f"{path.name}: written")


if __name__ == "__main__":
    main()
