"""A hook of MkDocs: the notebooks are files of the site, so that the page that lists them leads to them.

The page links to `../notebooks/`, where they are in the repository; on the site they lie beside the page.
"""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

FOLDER = Path(__file__).parents[2] / "notebooks"


def on_files(files: Files, config: Any, **_: object) -> Files:
    """Called by MkDocs once it knows the files on disk: adds the notebooks."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        files.append(File.generated(config, f"notebooks/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(text: str, **_: object) -> str:
    """Called by MkDocs with the Markdown of each page."""
    return text.replace("](../notebooks/", "](notebooks/")
