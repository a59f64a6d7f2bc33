"""Parquet: the Arrow types and values that are written, what is read as text, what is refused."""

from __future__ import annotations

import datetime as dt
import decimal
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_standard.conformance.parquet import TestParquetReader, TestParquetWriter
from pool_standard.data.arrow import to_arrow
from pool_standard.data.parquet import ParquetReader, ParquetWriter, ParquetWriterConfig

from pool_core.errors import PoolError, RowsError
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.type_text import parse_type
from pool_core.interfaces.types import ANY, NULL, FieldType, accepts, infer_type

__all__ = ["TestParquetReader", "TestParquetWriter"]

BOOL, INT, FLOAT, STR = (FieldType(kind) for kind in ("bool", "int", "float", "str"))
SURROGATES = ("\ud800", "\ud801")
LITERAL = FieldType("literal", values=("a", "b"))


def make_list(items: FieldType) -> FieldType:
    return FieldType("list", items=items)


def make_map(items: FieldType) -> FieldType:
    return FieldType("map", items=items)


def make_struct(**fields: FieldType) -> FieldType:
    return FieldType("struct", fields=tuple(sorted(fields.items())))


def read(path: Path) -> list:
    return list(ParquetReader(path, PluginConfig()).read())


def write(path: Path, records: list, schema: dict, **config) -> pa.Table:
    assert ParquetWriter(path, ParquetWriterConfig(**config)).write(records, schema) == len(records)
    return pq.read_table(path)


def read_schema(path: Path) -> dict[str, FieldType]:
    return ParquetReader(path, PluginConfig()).read_schema()


def read_column(path: Path, column: pa.Array) -> list:
    pq.write_table(pa.table({"c": column}), path)
    return [row["c"] for _, row in read(path)]


def refuse_column(path: Path, column: pa.Array) -> RowsError:
    with pytest.raises(RowsError) as caught:
        read_column(path, column)
    assert caught.value.hint
    return caught.value


# --- writing


@pytest.mark.parametrize(
    ("type_", "arrow"),
    [
        (NULL, pa.null()),
        (BOOL, pa.bool_()),
        (INT, pa.int64()),
        (FLOAT, pa.float64()),
        (STR, pa.string()),
        (LITERAL, pa.string()),
        (ANY, pa.string()),
        (make_struct(), pa.string()),
        (FieldType("list"), pa.list_(pa.string())),
        (make_list(NULL), pa.list_(pa.null())),
        (make_map(make_list(INT)), pa.map_(pa.string(), pa.list_(pa.int64()))),
        (
            make_struct(b=INT, a=make_struct(c=ANY)),
            pa.struct([("a", pa.struct([("c", pa.string())])), ("b", pa.int64())]),
        ),
    ],
)
def test_field_types_have_arrow_types(type_, arrow):
    assert to_arrow(type_) == arrow


def test_nested_values_and_nulls_are_written_with_their_types(tmp_path):
    generation = make_struct(member=STR, score=FLOAT, tags=make_list(LITERAL), extra=ANY)
    schema = {"id": INT, "generations": make_list(generation), "meta": make_map(INT), "none": NULL, "ok": BOOL}
    records = [
        {
            "id": 1,
            "generations": [
                {"member": "a", "score": 1, "tags": ["a", None], "extra": {"k": [1, None, "\ud800"]}},
                None,
                {"member": None, "score": 0.5, "tags": None},
            ],
            "meta": {"x": 1, "y": None},
            "ok": True,
        },
        {"id": None, "generations": None, "meta": None, "none": None, "ok": None},
        {"generations": [], "meta": {}, "ok": False},
    ]
    table = write(tmp_path / "out.parquet", records, schema)
    assert table.schema == pa.schema([(name, to_arrow(type_)) for name, type_ in schema.items()])
    assert all(field.nullable for field in table.schema)
    assert table.to_pylist() == [
        {
            "id": 1,
            "generations": [
                {"extra": '{"k":[1,null,"\\ud800"]}', "member": "a", "score": 1.0, "tags": ["a", None]},
                None,
                {"extra": None, "member": None, "score": 0.5, "tags": None},
            ],
            "meta": [("x", 1), ("y", None)],
            "none": None,
            "ok": True,
        },
        {"id": None, "generations": None, "meta": None, "none": None, "ok": None},
        {"id": None, "generations": [], "meta": [], "none": None, "ok": False},
    ]


def test_batches_are_row_groups_compressed_with_zstd(tmp_path):
    path = tmp_path / "out.parquet"
    taken = []
    writer = ParquetWriter(path, ParquetWriterConfig(batch_size=2))
    assert writer.write(({"a": taken.append(n) or str(n)} for n in range(5)), {"a": STR}) == 5
    metadata = pq.read_metadata(path)
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [2, 2, 1]
    assert metadata.row_group(0).column(0).compression == "ZSTD"
    assert [row["a"] for _, row in read(path)] == list("01234")


def test_no_records_make_an_empty_file_with_the_schema(tmp_path):
    table = write(tmp_path / "out.parquet", [], {"a": INT})
    assert (table.num_rows, table.schema) == (0, pa.schema([("a", pa.int64())]))


def test_half_surrogate_pairs_are_replaced(tmp_path):
    schema = {"\ud800": STR, "s": make_struct(**{"\udfff": LITERAL}), "m": make_map(STR)}
    records = [{"\ud800": "a\ud83d\x00b😀", "s": {"\udfff": "\udc00"}, "m": {"\ud800": "\ud800"}}]
    table = write(tmp_path / "out.parquet", records, schema)
    assert table.to_pylist() == [{"\ufffd": "a\ufffd\x00b😀", "s": {"\ufffd": "\ufffd"}, "m": [("\ufffd", "\ufffd")]}]


def test_any_and_empty_structs_are_json_text(tmp_path):
    records = [{"a": 2**70, "s": {}}, {"a": math.nan, "s": None}, {"a": None}, {"a": "x"}]
    table = write(tmp_path / "out.parquet", records, {"a": ANY, "s": make_struct()})
    assert table["a"].to_pylist() == [str(2**70), "null", None, '"x"']
    assert table["s"].to_pylist() == ["{}", None, None, None]


@pytest.mark.parametrize("value", [-(2**63), 2**63 - 1])
def test_the_largest_integers_fit(tmp_path, value):
    assert write(tmp_path / "out.parquet", [{"a": value}], {"a": INT})["a"].to_pylist() == [value]


@pytest.mark.parametrize(
    ("type_", "value", "field", "reason"),
    [
        (INT, 2**63, "a", "the integer does not fit 64 bits"),
        (INT, -(2**63) - 1, "a", "the integer does not fit 64 bits"),
        (make_list(make_struct(b=INT)), [{"b": 2**64}], "a[].b", "the integer does not fit 64 bits"),
        (make_map(INT), {"k": 2**64}, "a.k", "the integer does not fit 64 bits"),
        (FLOAT, 10**400, "a", "the integer does not fit a 64-bit float"),
        (INT, True, "a", "a value of the type int is expected, and this is a bool"),
        (INT, 1.5, "a", "a value of the type int is expected, and this is a float"),
        (FLOAT, False, "a", "a value of the type float is expected, and this is a bool"),
        (BOOL, 1, "a", "a value of the type bool is expected, and this is a int"),
        (STR, 1, "a", "a value of the type str is expected, and this is a int"),
        (NULL, "x", "a", "a value of the type null is expected, and this is a str"),
        (make_list(STR), "x", "a", "a value of the type list[str] is expected, and this is a str"),
        (make_map(STR), ["x"], "a", "a value of the type map[str] is expected, and this is a list"),
        (make_map(STR), dict.fromkeys(SURROGATES, ""), "a", "two keys are equal once invalid characters are replaced"),
        (make_struct(b=INT), {"c": 1}, "a", "the type {b: int} has no field 'c'"),
        (make_struct(), {"c": 1}, "a", "the type {} has no field 'c'"),
    ],
)
def test_values_that_do_not_fit_are_refused(tmp_path, type_, value, field, reason):
    writer = ParquetWriter(tmp_path / "out.parquet", ParquetWriterConfig())
    with pytest.raises(PoolError) as caught:
        writer.write([{"a": None}, {"a": value}], {"a": type_})
    assert caught.value.message == reason
    assert caught.value.where == f"record 2, field {field!r}"
    assert "JSON Lines" in caught.value.hint


def test_a_field_that_the_schema_lacks_is_refused(tmp_path):
    writer = ParquetWriter(tmp_path / "out.parquet", ParquetWriterConfig())
    with pytest.raises(PoolError, match="record 1: fields that are not in the schema: 'b'"):
        writer.write([{"a": 1, "b": 2}], {"a": INT})


@pytest.mark.parametrize("nest", [False, True])
def test_names_that_become_equal_are_refused(tmp_path, nest):
    schema = dict.fromkeys(SURROGATES, STR)
    writer = ParquetWriter(tmp_path / "out.parquet", ParquetWriterConfig())
    with pytest.raises(
        PoolError, match="two fields are both named '\ufffd' once invalid characters are replaced\n  Rename"
    ):
        writer.write([], {"a": make_struct(**schema)} if nest else schema)


# --- reading


def test_rows_come_with_their_number(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a": range(2500), "b": ["x"] * 2500}), path, row_group_size=700)
    found = read(path)
    assert found[0] == ("row 1", {"a": 0, "b": "x"})
    assert found[2499] == ("row 2500", {"a": 2499, "b": "x"})
    assert len(found) == 2500


MOMENT = dt.datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pa.array([MOMENT, None], pa.timestamp("us")), ["2024-01-02T03:04:05.000006", None]),
        (pa.array([MOMENT, None], pa.timestamp("us", "Europe/Berlin")), ["2024-01-02T03:04:05.000006Z", None]),
        (pa.array([1], pa.timestamp("ns", "UTC")), ["1970-01-01T00:00:00.000000001Z"]),
        (pa.array([MOMENT.date()], pa.date32()), ["2024-01-02"]),
        (pa.array([dt.time(1, 2, 3)], pa.time32("ms")), ["01:02:03.000"]),
        (pa.array([decimal.Decimal("-1.50"), None], pa.decimal128(10, 2)), ["-1.50", None]),
        (pa.array([b"\xff\x00", None], pa.binary()), ["/wA=", None]),
        (pa.array([b"\xff\x00"], pa.binary(2)), ["/wA="]),
        (pa.array([b"\xff\x00"], pa.binary_view()), ["/wA="]),
        (pa.array([1.5, math.nan, math.inf, None]), [1.5, None, None, None]),
        (pa.array(["a", "b", "a", None]).dictionary_encode(), ["a", "b", "a", None]),
        (pa.array(["a", None], pa.large_string()), ["a", None]),
        (pa.array(["a", None], pa.string_view()), ["a", None]),
        (pa.array([[("k", 0.5), ("n", None)], None], pa.map_(pa.utf8(), pa.float64())), [{"k": 0.5, "n": None}, None]),
        (pa.array([[("k", MOMENT.date())]], pa.map_(pa.string(), pa.date32())), [{"k": "2024-01-02"}]),
        (pa.array([[MOMENT.date(), None], None], pa.list_(pa.date32())), [["2024-01-02", None], None]),
        (pa.array([[MOMENT.date(), None], None], pa.list_(pa.date32(), 2)), [["2024-01-02", None], None]),
        (
            pa.array(
                [[{"m": MOMENT, "n": 1, "b": None}, None], None, []],
                pa.large_list(pa.struct([("m", pa.timestamp("ms", "UTC")), ("n", pa.int8()), ("b", pa.binary())])),
            ),
            [[{"m": "2024-01-02T03:04:05.000Z", "n": 1, "b": None}, None], None, []],
        ),
    ],
)  # fmt: skip
def test_values_are_read_as_plain_json(tmp_path, column, values):
    assert read_column(tmp_path / "rows.parquet", column) == values


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            pa.array([1], pa.duration("s")),
            "the column 'c' has the Arrow type duration[s], which has no plain JSON value",
        ),
        (pa.array([[1]], pa.list_(pa.duration("s"))), "the column 'c[]' has the Arrow type duration[s]"),
        (pa.array([{"x": 1}], pa.struct([("x", pa.duration("s"))])), "the column 'c.x' has the Arrow type duration[s]"),
        (
            pa.array([[("k", 1)]], pa.map_(pa.string(), pa.duration("s"))),
            "the column 'c.*' has the Arrow type duration",
        ),
        (pa.array([[(1, 1)]], pa.map_(pa.int64(), pa.int64())), "the column 'c' has the Arrow type map<int64, int64"),
        (
            pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"]),
            "the column 'c' has two fields of one name: 'x', 'x'",
        ),
    ],
)
def test_types_without_a_json_value_are_refused(tmp_path, column, message):
    error = refuse_column(tmp_path / "rows.parquet", column)
    assert error.message.startswith(message)
    assert error.where == str(tmp_path / "rows.parquet")
    assert "leave it out" in error.hint


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            pa.array([0, 10**9], pa.int32()).cast(pa.date32()),
            "a date cannot be written: value out of range: 1000000000",
        ),
        (
            pa.array([[], [("k", 1), ("k", 2)]], pa.map_(pa.string(), pa.int64())),
            "a map in the column 'c' has one key twice",
        ),
    ],
)
def test_values_without_a_json_value_are_refused_with_their_row(tmp_path, column, message):
    error = refuse_column(tmp_path / "rows.parquet", column)
    assert error.message == message
    assert error.where.endswith("rows.parquet:row 2")
    assert "Mend the value" in error.hint


def test_a_column_that_stands_twice_is_refused(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    with pytest.raises(RowsError, match="the file has the column 'a' twice\n  Give each column"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"PAR1 is not enough PAR1"])
def test_another_format_is_refused(tmp_path, content):
    path = tmp_path / "rows.parquet"
    path.write_bytes(content)
    with pytest.raises(
        RowsError, match=r"not a Parquet file: .*\n  Check that the file is complete, or set the reader"
    ):
        read(path)


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a": ["some text"] * 100}), path, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[4:200] = b"\xff" * 196
    path.write_bytes(content)
    with pytest.raises(
        RowsError, match=r"row 1 or after: the file cannot be read on: .*\n  Check that the file is complete"
    ):
        read(path)


def test_text_that_is_not_utf8_is_refused(tmp_path):
    text = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")])
    error = refuse_column(tmp_path / "rows.parquet", text)
    assert error.message.startswith("the file cannot be read on: 'utf-8' codec")


def test_a_missing_file_is_explained(tmp_path):
    with pytest.raises(RowsError, match=r"no\.parquet: the file does not exist"):
        read(tmp_path / "no.parquet")


# --- the declared schema

DATE, FIELD = pa.date32(), pa.field("x", pa.int8(), nullable=False)


@pytest.mark.parametrize(
    ("arrow", "text"),
    [
        (pa.null(), NULL),
        (pa.bool_(), "bool?"),
        (pa.uint8(), "int?"),
        (pa.float32(), "float?"),
        (pa.large_string(), "str?"),
        (pa.timestamp("us", "Europe/Berlin"), "str?"),
        (DATE, "str?"),
        (pa.time64("us"), "str?"),
        (pa.decimal128(10, 2), "str?"),
        (pa.binary(), "str?"),
        (pa.dictionary(pa.int32(), pa.string()), "str?"),
        (pa.list_(DATE), "list[str?]?"),
        (pa.large_list(FIELD), "list[int]?"),
        (pa.list_(pa.int64(), 2), "list[int?]?"),
        (pa.map_(pa.string(), pa.float64()), "map[float?]?"),
        (pa.struct([("b", pa.string()), ("a", pa.list_(pa.bool_())), FIELD]), "{a: list[bool?]?, b: str?, x: int}?"),
    ],
    ids=str,
)
def test_the_schema_is_that_of_the_plain_values(tmp_path, arrow, text):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.schema([("c", arrow)]).empty_table(), path)
    assert read_schema(path) == {"c": text if text is NULL else parse_type(text)}


def test_columns_are_declared_in_order_and_as_nullable_as_the_file_says(tmp_path):
    path = tmp_path / "rows.parquet"
    schema = pa.schema([pa.field("b", pa.string(), nullable=False), pa.field("a", pa.float64(), nullable=False)])
    pq.write_table(schema.empty_table(), path)
    assert list(read_schema(path).items()) == [("b", STR), ("a", FieldType("float", nullable=True))]


def test_a_schema_is_refused_as_its_rows_are(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"c": pa.array([1], pa.duration("s"))}), path)
    with pytest.raises(RowsError, match="the column 'c' has the Arrow type duration"):
        read_schema(path)
    path.write_bytes(b"a,b")
    with pytest.raises(RowsError, match="not a Parquet file"):
        read_schema(path)
    with pytest.raises(RowsError, match=r"nothing\.parquet"):
        read_schema(tmp_path / "nothing.parquet")


# --- both ways

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=5)
TYPES = st.recursive(
    st.sampled_from([NULL, BOOL, INT, FLOAT, STR]),
    lambda inner: (
        st.builds(make_list, inner)
        | st.builds(make_map, inner)
        | st.dictionaries(TEXT, inner, min_size=1, max_size=3).map(
            lambda fields: FieldType("struct", fields=tuple(sorted(fields.items())))
        )
    ),
    max_leaves=5,
)
SCALARS = {
    "null": st.none(),
    "bool": st.booleans(),
    "int": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "str": TEXT,
}


def draw_values(type_: FieldType) -> st.SearchStrategy:
    if type_.kind == "list":
        values = st.lists(draw_values(type_.items), max_size=3)
    elif type_.kind == "map":
        values = st.dictionaries(TEXT, draw_values(type_.items), max_size=3)
    elif type_.kind == "struct":
        values = st.fixed_dictionaries({name: draw_values(inner) for name, inner in type_.fields})
    else:
        values = SCALARS[type_.kind]
    return st.none() | values


@settings(max_examples=60)
@given(data=st.data(), schema=st.dictionaries(TEXT, TYPES, min_size=1, max_size=3))
def test_what_is_written_is_read_again(tmp_path_factory, data, schema):
    path = tmp_path_factory.mktemp("parquet") / "rows.parquet"
    rows = st.lists(st.fixed_dictionaries({name: draw_values(type_) for name, type_ in schema.items()}), max_size=4)
    records = data.draw(rows)
    table = write(path, records, schema, batch_size=2)
    assert table.schema == pa.schema([(name, to_arrow(type_)) for name, type_ in schema.items()])
    assert [row for _, row in read(path)] == records
    declared = read_schema(path)
    assert declared.keys() == schema.keys()
    assert all(accepts(declared[name], infer_type(value)) for row in records for name, value in row.items())


def test_a_column_whose_name_is_no_utf8_is_refused(tmp_path):
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"zzzz": ["a"]}), path)
    path.write_bytes(path.read_bytes().replace(b"zzzz", b"\x80zzz"))
    for work in (lambda reader: list(reader.read()), lambda reader: reader.read_schema()):
        with pytest.raises(RowsError, match="not a Parquet file: ") as caught:
            work(ParquetReader(path, PluginConfig()))
        assert str(path) in str(caught.value)


def test_the_schema_is_asked_once_and_not_for_each_record(tmp_path, asked_schema):
    ParquetWriter(tmp_path / "x.parquet", ParquetWriterConfig()).write([{"a": 1, "b": "x"}] * 50, asked_schema)
    assert asked_schema.asked == ["a", "b"]
