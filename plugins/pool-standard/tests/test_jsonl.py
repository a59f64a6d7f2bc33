"""JSON Lines: what is read, what is refused and with which words, and that a write never fails."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_standard.data.jsonl import JsonLinesReader, JsonLinesWriter

from pool_core.errors import RowsError
from pool_core.interfaces.config import PluginConfig

SURROGATES = st.characters(categories=("Cs",))
TEXT = st.text(st.one_of(st.characters(), SURROGATES, st.sampled_from('\u2028\u2029\x00\x85\ufeff"\\:')))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**100), 2**100)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
ROWS = st.lists(st.dictionaries(TEXT, VALUES, max_size=4), max_size=4)


def read(path: Path) -> list:
    return list(JsonLinesReader(path, PluginConfig()).read())


def write(path: Path, records: list) -> int:
    return JsonLinesWriter(path, PluginConfig()).write(records, {})


def refuse(tmp_path: Path, content: bytes) -> RowsError:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(RowsError) as caught:
        read(path)
    assert caught.value.where.startswith(f"{path}:line ")
    assert caught.value.hint
    return caught.value


def test_rows_come_with_their_lines(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n  \t\r\n{"b": [1.5, null, {"c": "\xe2\x80\xa8"}]}\r\n{"d": true}')
    assert read(path) == [
        ("line 1", {"a": 1}),
        ("line 4", {"b": [1.5, None, {"c": "\u2028"}]}),
        ("line 5", {"d": True}),
    ]


def test_an_empty_file_has_no_rows(tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(b"")
    assert read(tmp_path / "rows.jsonl") == []


def test_reading_streams(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\nbroken')
    rows = JsonLinesReader(path, PluginConfig()).read()
    assert next(rows) == ("line 1", {"a": 1})
    with pytest.raises(RowsError, match=r"rows\.jsonl:line 2: not valid JSON"):
        next(rows)


def test_half_surrogate_pairs_and_large_integers_are_read(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": "\\ud800", "n": 123456789012345678901234567890, "x": 0.5}')
    assert read(path) == [("line 1", {"a": "\ud800", "n": 123456789012345678901234567890, "x": 0.5})]


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        (b'{"a": 1', "not valid JSON: Expecting ',' delimiter at character 8", "one complete JSON object"),
        (b'{"a": 1} {"b": 2}', "not valid JSON: Extra data at character 10", "one complete JSON object"),
        (b'{"a": "\x01"}', "not valid JSON: Invalid control character at character 8", "one complete JSON object"),
        (b"[", "not valid JSON: Expecting value at character 2", "one JSON array"),
        (b'[{"a": 1}]', "the line holds an array, not an object", "one object per line"),
        (b'"text"', "the line holds a string, not an object", "one object per line"),
        (b'"\\ud800"', "the line holds a string, not an object", "one object per line"),
        (b"true", "the line holds a boolean, not an object", "one object per line"),
        (b"17", "the line holds a number, not an object", "one object per line"),
        (b"1.5", "the line holds a number, not an object", "one object per line"),
        (b"null", "the line holds null, not an object", "one object per line"),
        (b'{"a": "\xff"}', "not valid UTF-8 at byte 8", "as UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "not valid UTF-8 at byte 8", "as UTF-8"),
        (b'{"a": NaN}', "NaN is not a JSON number", "Write null"),
        (b'{"a": -Infinity}', "-Infinity is not a JSON number", "Write null"),
        (b'{"a": 1e999}', "a number is too large for a 64-bit float", "Write null"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a number has too many digits", "as a string"),
        (b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "the value is nested too deeply", "flatter"),
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' stands twice in one object", "one of the two"),
        (b'{"b\\\\" \t: 1, "b\\\\": 2}', "the key 'b\\\\' stands twice in one object", "one of the two"),
        (b'{"a": {"b": "x\\": y", "b": 2}}', "the key 'b' stands twice in one object", "one of the two"),
        (b'{"a": "\\ud800", "a": 2}', "the key 'a' stands twice in one object", "one of the two"),
    ],
)
def test_lines_that_are_no_rows_are_refused(tmp_path, line, message, hint):
    error = refuse(tmp_path, b'{"fine": 1}\n' + line + b"\n")
    assert error.message == message
    assert error.where.endswith(":line 2")
    assert hint in error.hint


def test_text_that_looks_like_keys_is_fine(tmp_path):
    path = tmp_path / "rows.jsonl"
    row = {"a": '"a": 1, "a": 2', "b": {"a": ":", "c": '"'}}
    path.write_text(json.dumps(row))
    assert read(path) == [("line 1", row)]


def test_a_missing_file_is_explained(tmp_path):
    with pytest.raises(RowsError, match=r"no\.jsonl: the file does not exist\n  Check the path"):
        read(tmp_path / "no.jsonl")


def test_a_directory_is_explained(tmp_path):
    with pytest.raises(RowsError, match=r"this is a directory, not a file\n  Name one file in it"):
        read(tmp_path)


def test_missing_permission_is_explained(tmp_path, monkeypatch):
    def refuse_opening(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse_opening)
    with pytest.raises(RowsError, match="there is no permission to read the file\n  Change the file's permissions"):
        read(tmp_path / "rows.jsonl")


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs symbolic links")
def test_any_other_failure_to_read_is_explained(tmp_path):
    path = tmp_path / "loop.jsonl"
    path.symlink_to(path)
    with pytest.raises(
        RowsError, match=r"the file cannot be read: .*symbolic links.*\n  Check that the file is complete"
    ):
        read(path)


def test_records_are_written_one_a_line(tmp_path):
    path = tmp_path / "out.jsonl"
    assert write(path, [{"a": 1, "b": "é\u2028"}, {}]) == 2
    assert path.read_bytes() == '{"a":1,"b":"é\u2028"}\n{}\n'.encode()


def test_a_record_with_half_a_pair_is_written_with_escapes(tmp_path):
    path = tmp_path / "out.jsonl"
    write(path, [{"é": ["\ud800", math.nan, {"x": -math.inf}]}, {"é": 1}])
    assert path.read_bytes() == b'{"\\u00e9":["\\ud800",null,{"x":null}]}\n' + '{"é":1}\n'.encode()


def test_numbers_that_are_not_finite_are_null(tmp_path):
    path = tmp_path / "out.jsonl"
    write(path, [{"a": math.nan, "b": [math.inf, -math.inf]}])
    assert path.read_bytes() == b'{"a":null,"b":[null,null]}\n'


@given(rows=ROWS)
def test_what_is_written_is_read_again(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("jsonl") / "rows.jsonl"
    assert write(path, rows) == len(rows)
    assert path.read_bytes().count(b"\n") == len(rows)
    found = read(path)
    assert found == [(f"line {number}", row) for number, row in enumerate(rows, 1)]
    assert json.dumps([row for _, row in found]) == json.dumps(rows)


@given(line=st.binary(max_size=40) | TEXT.map(lambda text: f'{{"a": {text}'.encode("utf-8", "surrogatepass")))
def test_no_line_breaks_the_reader(tmp_path_factory, line):
    path = tmp_path_factory.mktemp("jsonl") / "rows.jsonl"
    path.write_bytes(line)
    try:
        rows = read(path)
    except RowsError as error:
        assert error.hint  # noqa: PT017 - either outcome is fine
    else:
        assert all(isinstance(row, dict) for _, row in rows)
