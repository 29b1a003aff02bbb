"""Checkpoints, snapshots and records of runs, on a local disk or in a bucket. Heavy packages are imported on use."""

from .checkpoint import CheckpointError as CheckpointError
from .checkpoint import Checkpoints as Checkpoints
from .location import AlreadyExists as AlreadyExists
from .location import Entry as Entry
from .location import Location as Location
from .location import NotFound as NotFound
from .location import StoreError as StoreError
from .record import RecordError as RecordError
from .record import append_jsonl as append_jsonl
from .record import read_json as read_json
from .record import read_jsonl as read_jsonl
from .record import write_json_atomic as write_json_atomic
from .retention import Retention as Retention
from .runs import RunError as RunError
from .runs import RunRecord as RunRecord
from .runs import list_runs as list_runs
from .runs import read_run as read_run
from .runs import remove_run as remove_run
from .snapshot import NewerFormatError as NewerFormatError
from .snapshot import SnapshotError as SnapshotError
