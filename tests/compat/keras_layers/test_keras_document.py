"""The Python of docs/keras.md runs as it stands, block after block."""

import re
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[3] / "docs" / "keras.md"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside Keras 3.15
def test_the_document_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), flags=re.S)
    assert len(blocks) == 5
    scope: dict = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"block {number + 1}", "exec"), scope)
