"""A hook of MkDocs: equations are drawn by MathJax, from a file of the site itself, without a network or fonts.

The file comes with the package `django-static-mathjax`, which is MathJax and nothing else. It is loaded by pages with
equations only.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

SCRIPT = "assets/mathjax.js"
_SETTINGS = """<script>
window.MathJax = {
  tex: {inlineMath: [["\\\\(", "\\\\)"]], displayMath: [["\\\\[", "\\\\]"]]},
  options: {ignoreHtmlClass: ".*", processHtmlClass: "arithmatex", enableMenu: false}
};
</script>"""


def on_files(files: Files, config: Any, **_: object) -> Files:
    """Called by MkDocs once it knows the files on disk: adds MathJax."""
    package = find_spec("mathjax")
    places = package.submodule_search_locations if package else None
    script = Path(places[0], "static", "mathjax", "es5", "tex-svg.js") if places else None
    if script is None or not script.is_file():
        raise PluginError('MathJax is missing: pip install -e ".[docs]"')
    files.append(File.generated(config, SCRIPT, abs_src_path=str(script)))
    return files


def on_page_content(text: str, page: Page, **_: object) -> str:
    """Called by MkDocs with the HTML of each page."""
    if 'class="arithmatex"' not in text:
        return text
    return f'{text}\n{_SETTINGS}\n<script async src="{get_relative_url(SCRIPT, page.url)}"></script>\n'
