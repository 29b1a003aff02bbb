"""`RemoteExperiment`: an experiment on a service, with its status, its results and its trained model."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from analogjax.cloud.connection import Connection, away
from analogjax.cloud.errors import CloudError, ConnectionFailed, ExperimentStatusError
from analogjax.experiments import BasicInferencing, BasicTraining

if TYPE_CHECKING:
    from analogjax.cloud.inference import InferenceDescription

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0  # [s] between two looks while waiting
_PATIENCE = 600.0  # [s] that `wait` bears a service that is away


class Status(Enum):
    """Status of an experiment; the numbers are those of aihwkit."""

    UNKNOWN = 0  # not submitted yet
    WAITING = 1
    RUNNING = 2
    COMPLETED = 3
    FAILED = 4  # or cancelled: see `reason()`

    @property
    def ended(self) -> bool:
        """Whether this status is final."""
        return self in (Status.COMPLETED, Status.FAILED)


_STATUSES = {
    "draft": Status.UNKNOWN, "waiting": Status.WAITING, "running": Status.RUNNING, "completed": Status.COMPLETED,
    "failed": Status.FAILED, "cancelled": Status.FAILED,
}  # fmt: skip


class RemoteExperiment:
    """An experiment on a service.

    All methods that contact the service raise `Refused`, `ConnectionFailed` or `CredentialsError` if they get no
    answer.
    """

    def __init__(self, connection: Connection, shown: dict[str, Any]) -> None:
        self._connection = connection
        self._epochs: list[dict[str, Any]] = []
        self._complete = False  # what is known is all that there will be
        with _understood():
            self.id, self.name = str(shown["id"]), str(shown["name"])
            self.category = str(shown.get("category", "train"))  # or inference
            self.created_at = datetime.fromtimestamp(shown["created"], UTC)
            self._planned = int(shown.get("epochs_planned") or 0)
            self._note(shown)

    @classmethod
    def find(cls, connection: Connection, id: str) -> RemoteExperiment:
        """Find an experiment by id."""
        return cls(connection, connection.json("GET", f"/api/v1/experiments/{quote(str(id), safe='')}", epochs=False))

    def __repr__(self) -> str:
        return f"RemoteExperiment({self.id!r}, {self.name!r}, {self._status.name})"

    def status(self) -> Status:
        """Current status; no request is made once it is final."""
        if not self._status.ended:
            self._refresh()
        return self._status

    def reason(self) -> str | None:
        """Why it failed, was cancelled, or is waiting; `None` if there is no reason."""
        self.status()
        return self._reason

    def epochs(self) -> list[dict[str, Any]]:
        """The completed epochs, each a dict as in `get_result`."""
        if not self._complete:
            self._refresh()
        return [dict(entry) for entry in self._epochs]

    def get_result(self) -> list[dict[str, Any]] | dict[str, Any]:
        """Return what `LocalRunner` or, for an inference, `run_inference` would have returned.

        For a training, one dict per epoch with `epoch`, `time_epoch`, `accuracy`, `train_loss` and `valid_loss`. Raises
        `ExperimentStatusError` unless it is completed.
        """
        self._need_completed("There is no result")
        return json.loads(self._file("results.json")) if self.category == "inference" else self.epochs()

    def get_experiment(self, dataset_root: Any = None) -> BasicTraining | BasicInferencing:
        """Return the experiment with its trained `variables`, bit for bit, from which `LocalRunner` can continue.

        For an inference, the `variables` are the chips that were programmed. An experiment submitted over aihwkit's
        protocol has images `(C, H, W)` and needs its data on this machine, found in or downloaded to `dataset_root`
        (and can then raise `DatasetError`). Raises `ExperimentStatusError` unless it is completed.
        """
        from analogjax.cloud.description import Description
        from analogjax.cloud.inference import InferenceDescription
        from analogjax.cloud.wire.tensors import variables_of
        from analogjax.cloud.wire.training import weights_in

        self._need_completed("There is no trained experiment")
        reported = json.loads(self._file("description.json"))
        if self.category == "inference":
            return self._inference(InferenceDescription.from_json(reported), dataset_root)
        description = Description.from_json(reported)
        variables = variables_of(description, weights_in(self._file("output.pb")))
        return replace(description.experiment(dataset_root), variables=variables)

    def _inference(self, description: InferenceDescription, dataset_root: Any) -> BasicInferencing:
        from analogjax.cloud.description import Description
        from analogjax.cloud.wire.training import weights_in

        if description.weights:
            return description.experiment(description.exactly(weights_in(self._file("weights.pb"))), dataset_root)
        source = RemoteExperiment.find(self._connection, description.trained)
        trained = Description.from_json(json.loads(source._file("description.json")))
        return description.experiment(description.written(trained, weights_in(source._file("output.pb"))), dataset_root)

    def logs(self) -> str:
        """The end of its worker's output."""
        return self._connection.content(f"{self._path}/logs").decode("utf-8", "replace")

    def cancel(self) -> None:
        """End it; one that has ended stays as it is."""
        self._note(self._connection.json("POST", f"{self._path}/cancel"))

    def rerun(self) -> None:
        """Queue it again after it failed or was cancelled; it resumes from its last checkpoint.

        Raises `Refused` if it has completed.
        """
        self._complete = False
        self._note(self._connection.json("POST", f"{self._path}/rerun"))

    def delete(self) -> None:
        """Delete it with all its files, for good. Raises `Refused` unless it has ended."""
        self._connection.send("DELETE", self._path)

    def edit(self, *, name: str | None = None, tags: Sequence[str] | None = None, notes: str | None = None) -> None:
        """Change its name, tags or notes; what is not given stays."""
        given = {"name": name, "tags": None if tags is None else list(tags), "notes": notes}
        changed = {key: value for key, value in given.items() if value is not None}
        self.name = str(self._connection.json("PATCH", self._path, changed)["name"])

    def share(self, user: str) -> None:
        """Let another user of the service read it. Raises `Refused` if there is no such user."""
        self._connection.send("PUT", f"{self._path}/shares/{quote(user, safe='')}")

    def unshare(self, user: str) -> None:
        """End that."""
        self._connection.send("DELETE", f"{self._path}/shares/{quote(user, safe='')}")

    def download(self, name: str, path: str | os.PathLike[str]) -> Path:
        """Download one of its files, atomically.

        The files are `output.pb`, `results.json`, `results.csv`, `description.json` and, of a training, `weights.npz`.
        `path` may be a folder. Returns the path of the file.
        """
        target = Path(path) / name if os.path.isdir(path) else Path(path)
        content = self._file(name)
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            part.write_bytes(content)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
        return target

    def wait(self, timeout: float | None = None, progress: bool = True) -> Status:
        """Wait until it has ended, reporting each epoch (`progress`); returns its final status.

        Tolerates a service that is down for some minutes. Ctrl-C ends the waiting, not the experiment. Raises
        `TimeoutError` after `timeout` [s] (checked between requests), `ConnectionFailed`.
        """
        teller = _Teller(self, progress)
        if progress and not self._complete:
            print(f"Experiment {self.id} ({self.name}); Ctrl-C ends the waiting, not the experiment.", file=sys.stderr)
        try:
            with teller:
                return self._wait(None if timeout is None else time.monotonic() + timeout, teller)
        except KeyboardInterrupt:
            print(f"Experiment {self.id} continues without being watched; .cancel() would end it.", file=sys.stderr)
            raise

    def _wait(self, until: float | None, teller: _Teller) -> Status:
        pause, heard = _FIRST_PAUSE, time.monotonic()
        while True:
            try:
                self._refresh()
                heard = time.monotonic()
            except CloudError as error:
                if not away(error) or time.monotonic() > heard + _PATIENCE:
                    raise
            teller.tell(self._epochs)
            if self._status.ended:
                return self._status
            left = _LONGEST_PAUSE if until is None else until - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"Experiment {self.id} is still {self._status.name}; call .wait() again.")
            time.sleep(min(pause, left))
            pause = min(1.5 * pause, _LONGEST_PAUSE)

    @property
    def _path(self) -> str:
        return f"/api/v1/experiments/{quote(self.id, safe='')}"

    def _file(self, name: str) -> bytes:
        return self._connection.content(f"{self._path}/files/{quote(name, safe='')}")

    def _refresh(self) -> None:
        """Request what is new, unless the status is final."""
        if self._complete:
            return
        last = self._epochs[-1]["epoch"] if self._epochs else -1
        reported = self._connection.json("GET", f"{self._path}/epochs", after=last)
        with _understood():
            self._note(reported)
            self._epochs += [_with_nan(entry) for entry in reported["epochs"]]
        self._complete = self._status.ended

    def _note(self, reported: dict[str, Any]) -> None:
        if reported["status"] not in _STATUSES:
            raise ConnectionFailed(
                f"The service reports {str(reported['status'])[:40]!r} for {self.id}, which this version does not "
                "know: update analogjax."
            )
        self._status, self._reason = _STATUSES[reported["status"]], reported.get("reason")

    def _need_completed(self, what: str) -> None:
        status = self.status()
        if status is Status.FAILED:
            raise ExperimentStatusError(f"{what}: experiment {self.id} failed: {self._reason or 'no reason is known'}.")
        if status is not Status.COMPLETED:
            raise ExperimentStatusError(
                f"{what} yet: experiment {self.id} is {status.name}. Wait for its end with .wait()."
            )


class _Teller:
    """Reports epochs: a progress bar on a terminal, else a line for each."""

    def __init__(self, experiment: RemoteExperiment, wanted: bool) -> None:
        self._told, self._bar = len(experiment._epochs), None
        self._write: Callable[[dict[str, Any]], None] = _print if wanted else lambda entry: None
        if wanted and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=experiment._planned, initial=self._told, unit="epoch", desc=experiment.name[:40])
            self._write = self._advance

    def __enter__(self) -> _Teller:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def tell(self, epochs: list[dict[str, Any]]) -> None:
        """Report the new ones."""
        for entry in epochs[self._told :]:
            self._write(entry)
        self._told = len(epochs)

    def _advance(self, entry: dict[str, Any]) -> None:
        assert self._bar is not None
        self._bar.set_postfix(accuracy=f"{entry['accuracy']:.4f}", refresh=False)
        self._bar.update()


def _print(entry: dict[str, Any]) -> None:
    if "inference_results" in entry:
        last = entry["inference_results"][-1]
        print(
            f"Repeat: {entry['epoch']}, accuracy after {last['t_inference']:g} s: {last['avg_accuracy']:.4f}% +- "
            f"{last['std_accuracy']:.4f}, loss: {last['avg_loss']:.8f}",
            flush=True,
        )
        return
    print(
        f"Epoch: {entry['epoch']}, loss: {entry['train_loss']:.8f}, accuracy: {entry['accuracy']:.6%}, validation "
        f"loss: {entry['valid_loss']:.8f}",
        flush=True,
    )


@contextmanager
def _understood() -> Iterator[None]:
    """Convert unexpected forms of an answer to an error."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ConnectionFailed(
            "The service's answer is not of the form that is expected: is api_url an analogjax service of this version?"
        ) from None


def _with_nan(entry: dict[str, Any]) -> dict[str, Any]:
    """Metrics of an epoch with NaN for the null as which it travelled."""
    return {name: math.nan if item is None else item for name, item in entry.items()}
