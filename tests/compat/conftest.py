"""`import aihwkit` is ours in these tests; without torch there is nothing to test."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

if importlib.util.find_spec("torch") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    import compat

    compat.install()


@pytest.fixture(autouse=True)
def seeded():
    """Every test starts from the same torch seed."""
    import torch

    torch.manual_seed(0)
