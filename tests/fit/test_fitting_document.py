"""docs/fitting.md as it stands: its program runs, and finds what it made up."""

import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[2] / "docs" / "fitting.md").read_text()


@pytest.mark.slow
def test_the_program_finds_its_device(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks, scope = re.findall(r"```python\n(.*?)```", TEXT, flags=re.S), {}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"docs/fitting.md, block {number}", "exec"), scope)
    assert len(blocks) == 2 and [path.name for path in tmp_path.iterdir()] == ["pulses.csv"]
    fit, noise = scope["fit"], scope["noise"]
    for name, true in {"dw_min": 0.01, "up_down": 0.2, "w_max": 0.8, "w_min": -0.5}.items():
        assert abs(fit.values[name] - true) < 3.5 * fit.standard_errors[name], name
    assert abs(noise.values["dw_min_std"] - 0.2) < 3.5 * noise.standard_errors["dw_min_std"]
    assert capsys.readouterr().out.count("+-") == 4
    assert scope["device"].w_max == fit.values["w_max"]
