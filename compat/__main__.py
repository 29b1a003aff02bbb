"""`python -m compat script.py args...` or `python -m compat -m module args...`: run it with our packages in place."""

import importlib
import os
import runpy
import sys

from analogjax._processor import remember_programs
from compat import install

_USAGE = """usage: python -m compat script.py [arguments]
       python -m compat -m module [arguments]
Runs a program written for aihwkit or aitoolbox's savers on analogjax, unchanged. Compiled programs are kept in
~/.cache/analogjax (at most 1 GiB) for the next run; JAX_COMPILATION_CACHE_DIR= (empty) keeps none."""


def main(arguments: list[str]) -> int:
    """Run what the command line names as `__main__`; returns only where nothing could be run, or it ended normally."""
    if not arguments or arguments == ["-m"]:
        print(_USAGE, file=sys.stderr)
        return 2
    if arguments[0] in ("-h", "--help"):
        print(_USAGE)
        return 0
    remember_programs()  # before JAX is imported
    importlib.import_module("analogjax.nn.serialization")  # flax's own checkpoints must know chips
    if arguments[0] == "-m":
        return _run_module(arguments[1], arguments[2:])
    return _run_script(arguments[0], arguments[1:])


def _run_script(script: str, arguments: list[str]) -> int:
    if not os.path.isfile(script):
        print(f"python -m compat: there is no file {script!r} (in {os.getcwd()}).", file=sys.stderr)
        return 2
    sys.argv = [script, *arguments]
    sys.path[0] = os.path.dirname(os.path.realpath(script))
    install()
    runpy.run_path(script, run_name="__main__")
    return 0


def _run_module(module: str, arguments: list[str]) -> int:
    sys.argv = [module, *arguments]
    sys.path[0] = os.getcwd()
    install()
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except ImportError as error:
        # runpy's own complaint about the module asked for, not an import that failed inside it
        if error.name is None and error.__traceback__ is not None and _raised_by_runpy(error):
            print(f"python -m compat: {error}", file=sys.stderr)
            return 2
        raise
    return 0


def _raised_by_runpy(error: ImportError) -> bool:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__") == "runpy"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
