"""Starts one job independently of its starter: `python -I -S launch.py FOLDER NAME [LIMIT=NUMBER]… -- PROGRAM …`.

Run as a file, with the standard library only: it starts in milliseconds, while importing this package takes seconds. It
forks twice. The grandchild begins a session of its own, claims the name by one file that is created atomically, and
becomes the program under its limits (`memory`, `file` [bytes]). The child waits for it, and notes in `NAME.end` how it
ended. The parent ends when the program runs (0), the name was already taken (3), or it can't run (1).
"""

import importlib.util
import json
import os
import resource
import signal
import sys
from pathlib import Path
from types import ModuleType

TAKEN = 3
# private memory that can be written, which is what a program allocates; address space alone costs nothing
_LIMITS = {"memory": resource.RLIMIT_DATA, "file": resource.RLIMIT_FSIZE}


def main(arguments: list[str]) -> int:
    """Start the job."""
    folder, name, *rest = arguments
    cut = rest.index("--")
    limits = {key: int(value) for key, _, value in (one.partition("=") for one in rest[:cut])}
    ready, reported = os.pipe()  # closed by exec: end of file means that the program runs
    if os.fork() == 0:
        os.close(ready)
        os._exit(_watch(Path(folder), name, rest[cut + 1 :], limits, reported))
    os.close(reported)
    with os.fdopen(ready, "rb") as stream:
        message = stream.read().decode()
    if message:
        print(message, file=sys.stderr)
    return {"": 0, "taken": TAKEN}.get(message, 1)


def _watch(folder: Path, name: str, command: list[str], limits: dict[str, int], reported: int) -> int:
    """Start the program and wait for its end, apart from everything that waits for the starter."""
    os.setsid()
    child = os.fork()
    if child == 0:
        os._exit(_child(folder, name, command, limits, reported))
    os.close(reported)
    _become_silent()
    status = os.waitpid(child, 0)[1]
    if os.waitstatus_to_exitcode(status) != TAKEN or not _of_another(folder, name, child):
        part = folder / f".{name}.end.{os.getpid()}"
        part.write_text(str(os.waitstatus_to_exitcode(status)))
        os.replace(part, folder / f"{name}.end")
    return 0


def _become_silent() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for target in (0, 1, 2):
        os.dup2(nothing, target)


def _of_another(folder: Path, name: str, child: int) -> bool:
    """Whether the name is that of another process."""
    try:
        return json.loads((folder / f"{name}.json").read_text()).get("pid") != child
    except (OSError, ValueError):
        return True


def _child(folder: Path, name: str, command: list[str], limits: dict[str, int], reported: int) -> int:
    """Claim the name and become the program; returns only if that fails."""
    try:
        os.setsid()
        if not _claim(folder, name):
            os.write(reported, b"taken")
            return TAKEN
        if (folder / f"{name}.cancelled").exists():
            return 0
        log = os.open(folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        for kind, most in limits.items():
            resource.setrlimit(_LIMITS[kind], (most, most))
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and a program would inherit that
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], command)
    except OSError as error:
        os.write(reported, f"{error.filename or command[0]}: {error.strerror}".encode())
    return 1


def _claim(folder: Path, name: str) -> bool:
    """Record which process has the name; `False` if another one has it already."""
    draft = folder / f".{name}.{os.getpid()}"
    draft.write_text(json.dumps(_process().this_process() | {"gpu": os.environ.get("CUDA_VISIBLE_DEVICES")}))
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
