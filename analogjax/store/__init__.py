"""Checkpoints and records of runs, on a local disk. Orbax is imported by the first save or restore, not before."""

from .checkpoint import CheckpointError as CheckpointError
from .checkpoint import Checkpoints as Checkpoints
from .record import RecordError as RecordError
from .record import append_jsonl as append_jsonl
from .record import read_json as read_json
from .record import read_jsonl as read_jsonl
from .record import write_json_atomic as write_json_atomic
from .snapshot import NewerFormatError as NewerFormatError
from .snapshot import SnapshotError as SnapshotError
