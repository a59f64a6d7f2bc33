"""CSV and TSV: what is read, what is refused and with which words, and what a spreadsheet is spared."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_standard.data import csv as pool_csv
from pool_standard.data.csv import CsvReader, CsvReaderConfig, CsvWriter, CsvWriterConfig
from pydantic import ValidationError

from pool_core.errors import PoolError, RowsError
from pool_core.interfaces.types import ANY, FieldType

STR = FieldType("str")


def read(path: Path, **config) -> list:
    return list(CsvReader(path, CsvReaderConfig(**config)).read())


def write(path: Path, records: list, schema: dict, **config) -> bytes:
    assert CsvWriter(path, CsvWriterConfig(**config)).write(records, schema) == len(records)
    return path.read_bytes()


def refuse(path: Path, content: bytes, **config) -> RowsError:
    path.write_bytes(content)
    with pytest.raises(RowsError) as caught:
        read(path, **config)
    assert caught.value.hint
    return caught.value


def test_rows_come_with_the_line_on_which_they_start(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b'\xef\xbb\xbfa,b\r\n1,"x\r\ny"\r\n\r\n"say ""hi""",\r\n')
    assert read(path) == [("line 2", {"a": "1", "b": "x\r\ny"}), ("line 5", {"a": 'say "hi"', "b": ""})]


def test_the_header_declares_the_columns_all_of_them_text(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"\xef\xbb\xbfa,b\r\n1,2\r\n")
    assert list(CsvReader(path, CsvReaderConfig()).read_schema().items()) == [("a", STR), ("b", STR)]
    path.write_bytes(b"a,a\n")
    with pytest.raises(RowsError, match="the header has the column 'a' twice"):
        CsvReader(path, CsvReaderConfig()).read_schema()


@pytest.mark.parametrize("name", ["rows.tsv", "ROWS.TSV", "rows.tsv.tmp1"])
def test_tabs_stand_between_values_of_a_tsv_file(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"a\tb\n1,5\t2\n")
    assert read(path) == [("line 2", {"a": "1,5", "b": "2"})]
    assert write(path, [{"a": "x,y"}], {"a": STR, "b": STR}) == b"a\tb\r\nx,y\t\r\n"


def test_delimiter_and_encoding_can_be_given(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes("a;é\n1;ü\n".encode("cp1252"))
    assert read(path, delimiter=";", encoding="cp1252") == [("line 2", {"a": "1", "é": "ü"})]


@pytest.mark.parametrize("encoding", ["no-such", "hex"])
def test_an_unknown_encoding_is_refused(encoding):
    with pytest.raises(ValidationError, match="is not a text encoding; common ones are utf-8-sig and cp1252"):
        CsvReaderConfig(encoding=encoding)


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "\r"])
def test_an_impossible_delimiter_is_refused(delimiter):
    for config in (CsvReaderConfig, CsvWriterConfig):
        with pytest.raises(ValidationError):
            config(delimiter=delimiter)


@pytest.mark.parametrize(
    ("content", "message", "line", "hint"),
    [
        (b"", "there is no header line", 1, "must name the columns"),
        (b"a,,c\n", "column 2 of the header has no name", 1, "Name the column"),
        (b"\na, \n", "column 2 of the header has no name", 2, "Name the column"),
        (b"a,b,a\n", "the header has the column 'a' twice", 1, "a name of its own"),
        (b"a,b\n1,2\n3\n", "the line has 1 values, and the header has 2 columns", 3, "double quotes"),
        (b'a,b\n"1\n",2\n3,4,5\n', "the line has 3 values, and the header has 2 columns", 4, "double quotes"),
        (b'a,b\n1,2\n3,"4\n5,6\n', "not valid CSV: unexpected end of data", 3, "written twice"),
        (b'a,b\n1,"2"x\n', "not valid CSV: ',' expected after '\"'", 2, "written twice"),
        (b"a,b\n1,2\n3,\xff\n", "not valid utf-8-sig", 3, "`encoding`"),
        (b"a,\xed\xa0\x80\n", "not valid utf-8-sig", 1, "`encoding`"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, content, message, line, hint):
    path = tmp_path / "rows.csv"
    error = refuse(path, content)
    assert error.message == message
    assert error.where == f"{path}:line {line}"
    assert hint in error.hint


def test_a_truncated_utf_16_file_is_refused(tmp_path):
    error = refuse(tmp_path / "rows.csv", "a,b\n1,2\n".encode("utf-16") + b"x", encoding="utf-16")
    assert error.message == "not valid utf-16"


def test_a_missing_file_is_explained(tmp_path):
    with pytest.raises(RowsError, match=r"no\.csv: the file does not exist"):
        read(tmp_path / "no.csv")


def test_long_fields_are_read_and_the_limit_of_others_stays(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a\n" + "x" * 300_000 + "\n")
    before = csv.field_size_limit()
    rows = CsvReader(path, CsvReaderConfig()).read()
    assert next(rows) == ("line 2", {"a": "x" * 300_000})
    assert csv.field_size_limit() == before < 300_000


def test_a_field_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pool_csv, "LONGEST_FIELD", 100)
    before = csv.field_size_limit()
    error = refuse(tmp_path / "rows.csv", b'a,b\n1,"' + b"x" * 101)
    assert error.message == "not valid CSV: field larger than field limit (100)"
    assert error.where.endswith(":line 2")
    assert csv.field_size_limit() == before


def test_records_are_written_with_the_columns_of_the_schema(tmp_path):
    records = [
        {"b": None, "a": 'x,"y"\n', "c": {"k": ["é", None, math.nan]}},
        {"a": -1, "b": True, "c": []},
        {"a": -1.5, "b": math.inf, "c": "\ud800"},
    ]
    found = write(tmp_path / "out.csv", records, {"b": ANY, "a": ANY, "c": ANY})
    expected = 'b,a,c\r\n,"x,""y""\n","{""k"":[""é"",null,null]}"\r\ntrue,-1,[]\r\n,-1.5,\ufffd\r\n'
    assert found.decode() == expected


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_formulas_are_disarmed_unless_asked_otherwise(tmp_path, text):
    path = tmp_path / "out.csv"
    write(path, [{text: text}], {text: STR})
    assert read(path) == [("line 2" if "\r" not in text else "line 3", {f"'{text}": f"'{text}"})]
    write(path, [{"a": text}], {"a": STR}, escape_formulas=False)
    assert read(path) == [("line 2", {"a": text})]


def test_the_encoding_of_the_output_can_be_given(tmp_path):
    assert write(tmp_path / "out.csv", [], {"é": STR}, encoding="utf-8-sig") == b"\xef\xbb\xbf\xc3\xa9\r\n"


def test_a_field_that_the_schema_lacks_is_refused(tmp_path):
    writer = CsvWriter(tmp_path / "out.csv", CsvWriterConfig())
    with pytest.raises(PoolError, match=r"record 2: fields that are not in the schema: 'b', 'c'\n  Give the writer"):
        writer.write([{"a": "1"}, {"c": 1, "b": 2}], {"a": STR})


NAMES = st.text(st.characters(exclude_categories=("Cs",)), min_size=1).filter(str.strip)
CELLS = st.text(st.characters(exclude_categories=("Cs",)) | st.sampled_from('\r\n",\x00\u2028\x85'))


@given(data=st.data(), names=st.lists(NAMES, min_size=1, max_size=3, unique=True))
def test_text_that_is_written_is_read_again(tmp_path_factory, data, names):
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    records = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(names, CELLS)), max_size=3))
    write(path, records, dict.fromkeys(names, STR), escape_formulas=False)
    assert [row for _, row in read(path)] == records


def test_the_schema_is_asked_once_and_not_for_each_record(tmp_path, asked_schema):
    CsvWriter(tmp_path / "x.csv", CsvWriterConfig()).write([{"a": 1, "b": "x"}] * 50, asked_schema)
    assert asked_schema.asked == ["a", "b"]
