"""The blocks of docs/training.md and docs/hardware_aware.md run in the order in which they stand."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize(("name", "least"), [("training.md", 7), ("hardware_aware.md", 4)])
def test_every_block_runs(tmp_path, monkeypatch, name, least):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(), flags=re.S)
    scope: dict = {}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"docs/{name}, block {number}", "exec"), scope)
    assert len(blocks) >= least and not list(tmp_path.iterdir())
