"""What the service asks of an engine that runs workers: start this command once, say how it is, end it.

The service owns the truth about experiments. An engine only runs processes: it may lose jobs, forget them or restart,
and everything is keyed on the name that the service gave, never on an id of the engine.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import Field, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Protocol

from analogjax._field_docs import document_fields


class Phase(Enum):
    """How a job is, as its engine knows it."""

    QUEUED = "queued"  # accepted, not started
    RUNNING = "running"
    ENDED = "ended"  # for whatever reason; what came of it is in the store
    UNKNOWN = "unknown"  # the engine has never heard of it, or has forgotten it


@document_fields
@dataclass(frozen=True)
class Ticket:
    """One process to be run."""

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


class Executor(Protocol):
    """An engine. Every method may raise `ExecutorError`; all may be called again, and from several threads."""

    @property
    def kind(self) -> str:
        """`local`, `ray` or `slurm`."""
        ...

    @property
    def capacity(self) -> int | None:
        """How many jobs may be given to it at a time; `None`: it has a queue of its own."""
        ...

    def submit(self, ticket: Ticket) -> None:
        """Start the job, unless one of that name is known to the engine: then nothing happens."""
        ...

    def phases(self, names: Collection[str]) -> dict[str, Phase]:
        """How these jobs are, in as few calls to the engine as possible."""
        ...

    def cancel(self, name: str) -> None:
        """End the job and all its processes; one that is unknown or has ended counts as ended."""
        ...

    def logs(self, name: str, limit: int = 65536) -> str:
        """The last `limit` bytes of what the job printed, as text; empty where there is nothing.

        The engine may add lines of its own, anywhere between those of the job, as Ray does.
        """
        ...

    def close(self) -> None:
        """Let go of the engine. Jobs that run go on."""
        ...


class ExecutorSettings(Protocol):
    """What an engine can be told: a dataclass whose fields are made by `setting`."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    shares_disk: ClassVar[bool]  # whether its workers see the folder of the service

    def start(self, folder: Path) -> Executor:
        """The engine; `folder` is for its own notes and logs. Raises `ExecutorError`, `MissingPackage`."""
        ...


def setting(default: Any, help: str, *, metavar: str | None = None, bounds: tuple[int, int] | None = None) -> Any:
    """A field of an engine's settings, which is the flag `--its-name` of `analogjax serve` too.

    Engines whose settings share a name share the flag.
    """
    return field(default=default, metadata={"help": help, "metavar": metavar, "bounds": bounds})


def gpus() -> Any:
    """The setting of engines that have accelerators to give."""
    told = "GPUs that an experiment with device=gpu asks ray or slurm for (default: 0)"
    return setting(0, told, bounds=(0, 1024))
