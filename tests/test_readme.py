"""The README's Python runs as it stands, and each example fits on a screen."""

import re
import sys
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.S)


def test_each_level_is_shown_and_so_are_the_savers() -> None:
    assert len(BLOCKS) == 5


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_block_runs_and_is_short(number: int, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))  # `compat.install()` is for whole programs
    lines = [line for line in BLOCKS[number].splitlines() if line.strip()]
    assert len(lines) < 30
    scope: dict = {}
    if "import keras" in BLOCKS[number]:
        if "keras" not in sys.modules:
            monkeypatch.setenv("KERAS_BACKEND", "jax")  # or what looks for Keras here loads it on TensorFlow
        pytest.importorskip("keras")
    exec(compile(BLOCKS[number], f"README block {number + 1}", "exec"), scope)
    if "step" in scope:  # the loop of level 2 is the reader's: run it
        _learns(scope)


def _learns(scope: dict) -> None:
    import jax

    key, state = scope["random"].key(2), (scope["params"], scope["tiles"])
    state += (scope["adam"].init(scope["params"]), scope["pulsed"].init(scope["tiles"]))
    losses = []
    for n in range(200):
        *state, loss = scope["step"](*state, jax.random.fold_in(key, n))
        losses.append(float(loss))
    assert sum(losses[-20:]) < 0.5 * sum(losses[:20])
