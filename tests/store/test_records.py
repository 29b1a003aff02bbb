"""Records: atomic JSON files, and lines that survive a crash in the middle of one."""

import math
import os

import pytest

from analogjax.store import RecordError, append_jsonl, read_json, read_jsonl, write_json_atomic

VALUE = {"a": [1, 2.5, None, True, "ä\n"], "$float": {"$float": "inf"}, "loss": -math.inf}


def test_json_round_trip_replaces(tmp_path):
    path = tmp_path / "status.json"
    write_json_atomic(path, {"old": 1})
    write_json_atomic(path, VALUE)
    assert read_json(path) == VALUE
    assert os.listdir(tmp_path) == ["status.json"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, failing):
    path = tmp_path / "status.json"
    write_json_atomic(path, 1)

    def fail(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="No space"):
        write_json_atomic(path, 2)
    with pytest.raises(TypeError, match="type object"):
        write_json_atomic(path, object())
    assert read_json(path) == 1
    assert os.listdir(tmp_path) == ["status.json"]


def test_a_file_that_is_not_json_is_named(tmp_path):
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(RecordError, match=r"x\.json"):
        read_json(tmp_path / "x.json")


def test_lines_round_trip(tmp_path):
    path = tmp_path / "log.jsonl"
    for number in range(3):
        append_jsonl(path, {"n": number, "value": VALUE})
    assert read_jsonl(path) == [{"n": number, "value": VALUE} for number in range(3)]
    assert path.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("size", [10, 9000])
def test_a_line_torn_at_any_byte_is_left_out_and_the_next_append_mends_it(tmp_path, size):
    path = tmp_path / "log.jsonl"
    append_jsonl(path, 1)
    append_jsonl(path, "ä" * size)
    whole = path.read_bytes()
    for cut in {*range(3, 20), *range(len(whole) - 20, len(whole)), *range(2, len(whole), 997)}:
        path.write_bytes(whole[: min(cut, len(whole) - 1)])
        assert read_jsonl(path) == [1]
        append_jsonl(path, 3)
        assert read_jsonl(path) == [1, 3]
    path.write_bytes(b"{")
    append_jsonl(path, 4)
    assert read_jsonl(path) == [4]


def test_any_other_bad_line_is_named(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('1\n{"a": \n3\n')
    with pytest.raises(RecordError, match=r"Line 2 of .*log\.jsonl"):
        read_jsonl(path)
    path.write_text("1\n\n")
    with pytest.raises(RecordError, match="Line 2"):
        read_jsonl(path)


def test_nothing_is_appended_for_a_value_that_json_cannot_hold(tmp_path):
    with pytest.raises(TypeError, match=r"value\['a'\]"):
        append_jsonl(tmp_path / "log.jsonl", {"a": {1}})
    assert os.listdir(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        read_jsonl(tmp_path / "log.jsonl")
