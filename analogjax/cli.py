"""The `analogjax` command: `serve` and `cloud` run remotely, everything else on this machine."""

# PYTHON_ARGCOMPLETE_OK: argcomplete looks for this word

import argparse
import os
import sys
from collections.abc import Sequence

from analogjax._processor import quiet_cache
from analogjax._version import __version__
from analogjax.cloud.command import add_cloud_command, add_serve_command
from analogjax.devices_command import add_devices_command
from analogjax.doctor_command import add_doctor_command
from analogjax.errors import AnalogError, ConfigError
from analogjax.infer_command import add_infer_command
from analogjax.report_command import add_report_command
from analogjax.runs_command import add_runs_command
from analogjax.sweep_command import add_sweep_command
from analogjax.train_command import add_train_command, resume_hint


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code (0 success, 1 a reported error, 2 wrong usage, 130 interrupted)."""
    if os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        quiet_cache()
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:  # the shell asks what may follow
        complete(parser)
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 2
    try:
        return options.act(options)
    except (AnalogError, MemoryError) as error:
        print(f"analogjax: {error if str(error) else 'out of memory'}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        print(f"\nanalogjax: interrupted. {resume_hint(options)}".rstrip(), file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader of our output is gone (`| head`): there is nobody to report to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that completes a command, if argcomplete is installed; the process ends then."""
    try:
        import argcomplete
    except ImportError:
        return
    argcomplete.autocomplete(parser)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="analogjax", description="Analog in-memory computing, simulated in JAX.")
    parser.add_argument("--version", action="version", version=f"analogjax {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    add_train_command(commands)
    add_infer_command(commands)
    add_sweep_command(commands)
    add_runs_command(commands)
    add_report_command(commands)
    add_serve_command(commands)
    add_cloud_command(commands)
    add_devices_command(commands)
    add_doctor_command(commands)
    return parser
