"""Checkpoints, snapshots and run records, on a local disk or in a bucket. Heavy packages are imported on use."""

from .checkpoint import CheckpointError as CheckpointError
from .checkpoint import Checkpoints as Checkpoints
from .location import Location as Location
from .manifest import NewerFormatError as NewerFormatError
from .manifest import SnapshotError as SnapshotError
from .medium import AlreadyExists as AlreadyExists
from .medium import Entry as Entry
from .medium import NotFound as NotFound
from .medium import StoreError as StoreError
from .retention import Retention as Retention
from .runs import RunError as RunError
from .runs import RunRecord as RunRecord
from .runs import list_runs as list_runs
from .runs import read_run as read_run
from .runs import remove_run as remove_run
from .saved_folder import SavedFolder as SavedFolder
from .saved_folder import list_saved as list_saved
