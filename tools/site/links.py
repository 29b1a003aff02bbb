"""Checks the links of the built site: `python tools/site/links.py FOLDER` lists those that lead nowhere.

Every `href` and `src` within the site must be a file of it, and every fragment the id of an element there. Addresses of
other sites are counted, not fetched; none may be needed to show a page.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urldefrag, urlsplit

_NEEDED = {"script", "img", "link", "iframe", "source", "video", "audio"}  # fetched as soon as a page is opened
_NAMED = {"canonical", "alternate", "prev", "next"}  # links that are not


class Checked(NamedTuple):
    """What was found in a site."""

    pages: int
    internal: int
    external: int
    problems: list[str]


class _Reader(HTMLParser):
    """Collects the ids and links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[tuple[str, bool]] = []  # address, and whether the page needs it

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = dict(attrs)
        self.ids |= {value for name in ("id", "name") if (value := of.get(name))}
        needed = tag in _NEEDED and (of.get("rel") or "") not in _NAMED
        self.links += [(value, needed) for name in ("href", "src") if (value := of.get(name))]


def check(folder: Path) -> Checked:
    """Check all pages of a built site."""
    read = {path: _read(path) for path in sorted(folder.rglob("*.html"))}
    internal, external, problems = 0, 0, []
    for path, page in read.items():
        for link, needed in page.links:
            address, fragment = urldefrag(link)
            if urlsplit(address).scheme or address.startswith("//"):
                elsewhere = not address.startswith(("data:", "mailto:"))
                external += elsewhere
                problems += [f"{path}: needs {link}, which is not in the site"] if needed and elsewhere else []
                continue
            internal += 1
            target = _target(folder, path, unquote(address))
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                problems.append(f"{path}: {link} leads to no file")
            elif fragment and target in read and unquote(fragment) not in read[target].ids | {"__top"}:
                problems.append(f"{path}: {link} names no element of that page")
    return Checked(len(read), internal, external, problems)


def _target(folder: Path, path: Path, address: str) -> Path:
    """The file that an address on a page means."""
    if not address:
        return path
    return (folder / address.lstrip("/") if address.startswith("/") else path.parent / address).resolve()


def _read(path: Path) -> _Reader:
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


def main(folder: str) -> int:
    """Print what is wrong; returns the exit code."""
    found = check(Path(folder).resolve())
    print("\n".join(found.problems), end="\n" if found.problems else "")
    print(f"{found.pages} pages, {found.internal} links within, {found.external} to elsewhere, "
          f"{len(found.problems)} dead")  # fmt: skip
    return bool(found.problems) or not found.pages


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
