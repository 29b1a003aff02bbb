"""The pages of the API reference, made from what the packages export.

Each page has public names of a package, by the module that defines them and after its docstring, where the equations
are. A new name needs no work here, and a new package one row.
"""

import re
from typing import NamedTuple

from exports import docstring, exported, modules


class Page(NamedTuple):
    """One page of the reference."""

    title: str
    package: str
    names: str = ""  # of the package: names, or packages that have them too; empty: those that are on no other page
    text: str = ""


_HOME = "The names that most programs need, in the package itself; each is at home in one of the packages below."
PAGES = {
    "index": Page("analogjax", "analogjax", text=_HOME),
    "experiments": Page("experiments", "analogjax.experiments"),
    "callbacks": Page("callbacks", "analogjax.callbacks"),
    "data": Page("data", "analogjax.data"),
    "nn": Page("nn", "analogjax.nn"),
    "nnx": Page("nnx", "analogjax.nnx"),
    "optim": Page("optim", "analogjax.optim"),
    "tile": Page("tile", "analogjax.tile"),
    "algorithms": Page("tile.algorithms", "analogjax.tile.algorithms"),
    "presets": Page("tile.presets", "analogjax.tile.presets"),
    "devices": Page(
        "physics: devices", "analogjax.physics", "analogjax.physics.devices Device PulsedDevice Nonlinear width"
    ),
    "compounds": Page("physics: compounds", "analogjax.physics", "analogjax.physics.compounds"),
    "periphery": Page("physics: reads and pulses", "analogjax.physics"),
    "hardware": Page("physics: hardware-aware", "analogjax.physics", "analogjax.physics.hardware_aware"),
    "inference": Page("physics: inference", "analogjax.physics", "analogjax.physics.inference"),
    "device_values": Page("physics.presets", "analogjax.physics.presets"),
    "fit": Page("fit", "analogjax.fit"),
    "random": Page("random", "analogjax.random"),
    "report": Page("report", "analogjax.report"),
    "store": Page("store", "analogjax.store"),
    "testing": Page("testing", "analogjax.testing"),
    "cloud": Page("cloud", "analogjax.cloud"),
    "errors": Page("errors", "analogjax.errors"),
    "compat": Page("compat", "compat"),
    "compat_keras": Page("compat.keras", "compat.keras"),
}
INSIDE = "inside"  # the page of modules that are on no other one, and that have equations
WITH_EQUATIONS = ("analogjax.physics", "analogjax.tile", "analogjax.nn", "analogjax.optim", "analogjax.fit")
EQUATION = re.compile(r"^    .*( = | <- | \+= |: w )", re.MULTILINE)


def names_of(page: str) -> dict[str, str]:
    """The public names on a page, each with the module that defines it."""
    of = PAGES[page]
    offered, wanted = exported(of.package), of.names.split()
    if wanted:
        mine = {name for one in wanted for name in (exported(one) if "." in one else [one])}
    else:
        others = (other for other, its in PAGES.items() if its.package == of.package and other != page)
        mine = set(offered) - {name for other in others for name in names_of(other)}
    return {name: home for name, home in offered.items() if name in mine}


def page_text(page: str) -> str:
    """Markdown of a page; mkdocstrings puts the docstrings in."""
    of, names = PAGES[page], names_of(page)
    parts = [f"# {of.title}", of.text or docstring(of.package), f"In `{of.package}`:"]
    parts.append(" · ".join(f"[`{name}`][{of.package}.{name}]" for name in sorted(names, key=str.lower)))
    for home in sorted(set(names.values()), key=list(names.values()).index):
        parts.append(f"## {_heading(home)}")
        if home != of.package and page != "index":
            parts.append(docstring(home))
        parts += [f"::: {of.package}.{name}" for name, where in names.items() if where == home]
    return "\n\n".join(parts) + "\n"


def inside_modules() -> list[str]:
    """Modules whose docstring has an equation and that define no public name."""
    shown = {home for page in PAGES for home in names_of(page).values()}
    every = [module for package in WITH_EQUATIONS for module in modules(package)]
    return [module for module in every if module not in shown and EQUATION.search(docstring(module))]


def inside_text() -> str:
    """Markdown of the page of these modules."""
    parts = ["# Inside", "How it is computed: the modules behind the public names, with their equations."]
    parts += [f"## {module}\n\n{docstring(module)}" for module in inside_modules()]
    return "\n\n".join(parts) + "\n"


def _heading(module: str) -> str:
    return module.rpartition(".")[2].replace("_", " ")


def missing() -> list[str]:
    """Public names of the packages above that are on no page."""
    shown = {(of.package, name) for page, of in PAGES.items() for name in names_of(page)}
    every = {(of.package, name) for of in PAGES.values() for name in exported(of.package)}
    return [f"{package}.{name}" for package, name in sorted(every - shown)]


def texts() -> dict[str, str]:
    """All pages by their file names without an ending."""
    return {page: page_text(page) for page in PAGES} | {INSIDE: inside_text()}
