"""Results of a run as a table, JSON lines or CSV, written during the run; and the description of a device."""

import csv
import inspect
import json
from collections.abc import Callable
from typing import Any, Protocol, TextIO

_COLUMNS = ("epoch", "train_loss", "valid_loss", "accuracy", "time_epoch")


class Writer(Protocol):
    """Prints one entry per epoch."""

    def epoch(self, entry: dict[str, Any]) -> None:
        """Write the results of an epoch that has ended."""

    def close(self, results: list[dict[str, Any]]) -> None:
        """Finish the output at the end of the run."""


class _Table:
    def __init__(self, out: TextIO) -> None:
        self.out, self.printed = out, 0

    def epoch(self, entry: dict[str, Any]) -> None:
        if self.printed == 0:
            print("epoch  train loss  valid loss  accuracy  seconds", file=self.out)
        self.printed += 1
        print(
            f"{entry['epoch'] + 1:5d}  {entry['train_loss']:10.4f}  {entry['valid_loss']:10.4f}  "
            f"{entry['accuracy']:8.2%}  {entry['time_epoch']:7.2f}",
            file=self.out,
            flush=True,
        )

    def close(self, results: list[dict[str, Any]]) -> None:
        for entry in results if self.printed == 0 else []:  # everything was done before: show it all the same
            self.epoch(entry)


class _Lines:
    def __init__(self, out: TextIO) -> None:
        self.out = out

    def epoch(self, entry: dict[str, Any]) -> None:
        print(json.dumps(entry), file=self.out, flush=True)

    def close(self, results: list[dict[str, Any]]) -> None:
        """Do nothing: everything is written."""


class _Csv:
    def __init__(self, out: TextIO) -> None:
        self.out = csv.writer(out, lineterminator="\n")
        self.out.writerow(_COLUMNS)

    def epoch(self, entry: dict[str, Any]) -> None:
        self.out.writerow([entry[name] for name in _COLUMNS])

    def close(self, results: list[dict[str, Any]]) -> None:
        """Do nothing: everything is written."""


def writer_for(kind: str, out: TextIO) -> Writer:
    """Make a writer of `table`, `jsonl` or `csv` to `out`."""
    kinds: dict[str, Callable[[TextIO], Writer]] = {"table": _Table, "jsonl": _Lines, "csv": _Csv}
    return kinds[kind](out)


def device_lines(device: type) -> list[str]:
    """Describe a device class as text.

    Args:
        device: A parameter class of `analogjax.physics`.

    Returns:
        Lines with its name, its docstring, and each field with its default and meaning.
    """
    return [f"{device.__name__}: {inspect.cleandoc(device.__doc__ or '')}"]
