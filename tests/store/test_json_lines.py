"""Lines of JSON that survive a crash in the middle of one."""

import math
import os

import pytest

from analogjax.store import json_lines, json_values

VALUE = {"a": [1, 2.5, None, True, "ä\n"], "$float": {"$float": "inf"}, "loss": -math.inf}


def lines(path):
    *whole, torn = path.read_bytes().split(b"\n")
    assert torn == b""
    return [json_values.loads(line) for line in whole]


def test_lines_round_trip(tmp_path):
    path = tmp_path / "log.jsonl"
    for number in range(3):
        json_lines.append(path, {"n": number, "value": VALUE})
    assert lines(path) == [{"n": number, "value": VALUE} for number in range(3)]


@pytest.mark.parametrize("size", [10, 9000])
def test_a_line_torn_at_any_byte_is_mended_by_the_next_append(tmp_path, size):
    path = tmp_path / "log.jsonl"
    json_lines.append(path, 1)
    json_lines.append(path, "ä" * size)
    whole = path.read_bytes()
    for cut in {*range(3, 20), *range(len(whole) - 20, len(whole)), *range(2, len(whole), 997)}:
        path.write_bytes(whole[: min(cut, len(whole) - 1)])
        json_lines.append(path, 3)
        assert lines(path) == [1, 3]
    path.write_bytes(b"{")
    json_lines.append(path, 4)
    assert lines(path) == [4]


def test_nothing_is_appended_for_a_value_that_json_cannot_hold(tmp_path):
    with pytest.raises(TypeError, match=r"value\['a'\]"):
        json_lines.append(tmp_path / "log.jsonl", {"a": {1}})
    assert os.listdir(tmp_path) == []
