"""The `Executor` protocol: an engine that runs workers. It starts a command once, reports its phase, and ends it.

The service alone knows the state of experiments. An engine only runs processes: it may lose jobs, forget them or
restart, and every job is identified by the name the service gave it, never by an id of the engine.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import Field, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Protocol

from analogjax._field_docs import document_fields


class Phase(Enum):
    """Phase of a job, as known to its engine."""

    QUEUED = "queued"  # accepted, not started
    RUNNING = "running"
    ENDED = "ended"  # for whatever reason; what came of it is in the store
    UNKNOWN = "unknown"  # the engine has never heard of it, or has forgotten it


@document_fields
@dataclass(frozen=True)
class Ticket:
    """A process to be run."""

    name: str
    """Unique among all tickets; letters, digits and hyphens, at most 60."""
    command: tuple[str, ...]
    """The program and its arguments; contains no secret."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables added to those of the engine; contains no secret."""
    device: str = "cpu"
    """"gpu" requests one accelerator, if the engine was configured with any."""
    seconds: float | None = None
    """Time after which the engine may stop it [s]; None: no limit."""
    memory: int | None = None
    """Memory that it may use [bytes], and that the engine reserves; None: no limit."""


class Executor(Protocol):
    """Protocol of an engine. Every method may raise `ExecutorError`, may be called again, and from several threads."""

    @property
    def kind(self) -> str:
        """`local`, `ray` or `slurm`."""
        ...

    @property
    def capacity(self) -> int | None:
        """Number of jobs that may be submitted at a time; `None`: it has its own queue."""
        ...

    def submit(self, ticket: Ticket) -> None:
        """Start the job, unless the engine knows one of that name; then nothing happens."""
        ...

    def phases(self, names: Collection[str]) -> dict[str, Phase]:
        """Phases of these jobs, in as few calls to the engine as possible."""
        ...

    def cancel(self, name: str) -> None:
        """End the job and all its processes; one that is unknown or has ended counts as ended."""
        ...

    def logs(self, name: str, limit: int = 65536) -> str:
        """The last `limit` bytes of the job's output, as text; empty if there is none.

        The engine may insert lines of its own anywhere, as Ray does.
        """
        ...

    def log_part(self, name: str, after: int, limit: int = 65536) -> tuple[str, int]:
        """The job's output after byte `after`, and the byte at which this part ends; at most `limit` bytes.

        With `after` 0, or if much more has come since, it is the end of the output.
        """
        ...

    def ending(self, name: str) -> str:
        """How the job ended (exit code, signal, and what that likely means); empty if it is not known, or went well."""
        ...

    def forget(self, name: str) -> None:
        """Remove what the engine keeps of a job that has ended, its log among it; an unknown one is forgotten."""
        ...

    def close(self) -> None:
        """Disconnect from the engine. Running jobs continue."""
        ...


class ExecutorSettings(Protocol):
    """Settings of an engine: a dataclass whose fields are made by `setting`."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    shares_disk: ClassVar[bool]  # whether its workers see the folder of the service

    def start(self, folder: Path) -> Executor:
        """Start the engine; `folder` is for its own notes and logs. Raises `ExecutorError`, `MissingPackage`."""
        ...


def setting(default: Any, help: str, *, metavar: str | None = None, bounds: tuple[int, int] | None = None) -> Any:
    """A field of an engine's settings, which is also the flag of that name of `analogjax serve`.

    Engines whose settings share a name share the flag.
    """
    return field(default=default, metadata={"help": help, "metavar": metavar, "bounds": bounds})


def cpus() -> Any:
    """The setting of engines that give each job processors of its own."""
    return setting(1, "processors for each experiment on ray or slurm (default: 1)", bounds=(1, 1024))


def gpus() -> Any:
    """The setting of engines that can provide accelerators."""
    text = "GPUs that an experiment with device=gpu requests from ray or slurm (default: 0)"
    return setting(0, text, bounds=(0, 1024))
