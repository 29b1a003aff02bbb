"""The blocks of docs/training.md run in the order in which they stand."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "training.md"


def test_every_block_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    scope: dict = {}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"docs/training.md, block {number}", "exec"), scope)
    assert len(blocks) >= 7 and not list(tmp_path.iterdir())
