"""A hook of MkDocs: adds the pages of the API reference, as `pages.py` makes them."""

import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))  # hooks are loaded by path

import pages


def on_files(files: Files, config: Any, **_: object) -> Files:
    """Called by MkDocs once it knows the files on disk. A public name that is on no page stops the build."""
    if missing := pages.missing():
        raise PluginError(f"tools/site/pages.py: on no page of the reference: {', '.join(missing)}")
    for page, text in pages.texts().items():
        files.append(File.generated(config, f"reference/{page}.md", content=text))
    return files
