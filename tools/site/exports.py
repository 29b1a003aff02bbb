"""What the packages export, read from their text: nothing is imported, so nothing must be installed for it."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@cache
def exported(module: str) -> dict[str, str]:
    """The public names of a module or package, each with the module that defines it.

    These are the names in `__all__`; without one, what the module defines itself and imports `as` the same name.
    """
    tree = ast.parse(path_of(module).read_text(encoding="utf-8"))
    listed = _listed(tree)
    found: dict[str, str] = {}
    for node in _statements(tree.body):
        if isinstance(node, ast.ImportFrom):
            found |= _imported(node, f"{module}." if node.level else "", listed)
        else:
            found |= dict.fromkeys(defined(node), module)
    return {name: home for name, home in found.items() if name in listed or (not listed and name[0] != "_")}


def docstring(module: str) -> str:
    """The docstring of a module."""
    return ast.get_docstring(ast.parse(path_of(module).read_text(encoding="utf-8"))) or ""


def modules(package: str) -> list[str]:
    """Names of the modules of a package that are not packages, at any depth."""
    folder = ROOT.joinpath(*package.split("."))
    paths = [path for path in sorted(folder.rglob("*.py")) if not path.name.startswith("__")]
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]


def path_of(module: str) -> Path:
    """The file of a module or package."""
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _listed(tree: ast.Module) -> set[str]:
    """The names in `__all__`; empty without one."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return {ast.literal_eval(one) for one in getattr(node.value, "elts", ()) if isinstance(one, ast.Constant)}
    return set()


def _statements(body: list[ast.stmt]) -> list[ast.stmt]:
    """Statements of a module, those for type checking included."""
    return [inner for node in body for inner in (node.body if isinstance(node, ast.If) else [node])]


def _imported(node: ast.ImportFrom, folder: str, listed: set[str]) -> dict[str, str]:
    """What an import hands on, with the module that defines it; `folder` is what a relative one starts from."""
    source = f"{folder}{node.module}"
    if not path_of(source).is_file():
        return {}  # of another library
    found = {}
    for alias in node.names:
        if alias.name == "*":
            found |= exported(source)
        elif alias.asname == alias.name or alias.name in listed:
            found[alias.name] = exported(source).get(alias.name, source)
    return found


def defined(node: ast.stmt) -> list[str]:
    """Names that a statement of a module defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return [node.name]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []
