"""A hook of MkDocs: equations between dollar signs become MathML when the site is built.

Browsers draw MathML by themselves: a page needs no script, no font and no network for it.
"""

import html
import re

from latex2mathml.converter import convert

_BLOCK = re.compile(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', re.DOTALL)
_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)


def on_page_content(text: str, **_: object) -> str:
    """Called by MkDocs with the HTML of each page."""
    text = _BLOCK.sub(lambda found: f'<div class="equation">{_mathml(found[1], "block")}</div>', text)
    return _INLINE.sub(lambda found: _mathml(found[1], "inline"), text)


def _mathml(latex: str, display: str) -> str:
    return convert(html.unescape(latex).strip(), display=display)
