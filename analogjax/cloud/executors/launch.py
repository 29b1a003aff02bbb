"""Starts one job independently of its starter: `python -I -S launch.py FOLDER NAME -- PROGRAM ARGUMENTS…`.

Run as a file, with the standard library only: it starts in milliseconds, while importing this package takes seconds. It
forks; the child begins a session of its own, claims the name by one file that is created atomically, and becomes the
program. The parent ends when the program runs (0), the name was already taken (3), or it can't run (1).
"""

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType

TAKEN = 3


def main(arguments: list[str]) -> int:
    """Start the job."""
    folder, name, _, *command = arguments
    ready, reported = os.pipe()  # closed by exec: end of file means that the program runs
    if os.fork() == 0:
        os.close(ready)
        os._exit(_child(Path(folder), name, command, reported))
    os.close(reported)
    with os.fdopen(ready, "rb") as stream:
        message = stream.read().decode()
    if message:
        print(message, file=sys.stderr)
    return {"": 0, "taken": TAKEN}.get(message, 1)


def _child(folder: Path, name: str, command: list[str], reported: int) -> int:
    """Claim the name and become the program; returns only if that fails."""
    try:
        os.setsid()
        if not _claim(folder, name):
            os.write(reported, b"taken")
            return 0
        if (folder / f"{name}.cancelled").exists():
            return 0
        log = os.open(folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.execvp(command[0], command)
    except OSError as error:
        os.write(reported, f"{error.filename or command[0]}: {error.strerror}".encode())
    return 1


def _claim(folder: Path, name: str) -> bool:
    """Record which process has the name; `False` if another one has it already."""
    draft = folder / f".{name}.{os.getpid()}"
    draft.write_text(json.dumps(_process().this_process()))
    try:
        os.link(draft, folder / f"{name}.json")
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def _process() -> ModuleType:
    """`analogjax.store.process`, read from its file so that nothing else is imported."""
    path = Path(__file__).parents[2] / "store" / "process.py"
    spec = importlib.util.spec_from_file_location("process", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
