"""Where rows come from, and the columns that their first ones tell of."""

from __future__ import annotations

import datetime as dt
import json
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool_core.errors import RowsError
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.types import ANY, FieldType
from pool_core.plan.rows import SAMPLE_SIZE, FileRows, MemoryRows, merge_columns, take_sample
from pool_core.testing.scripted_plugin import JsonReader

STR, INT, FLOAT = FieldType("str"), FieldType("int"), FieldType("float")


def nullable(kind):
    return FieldType(kind, nullable=True)


class Endless:
    name = "endless"
    id_column = None

    def read(self):
        return ((f"row {number}", {"n": number}) for number in count(1))


def test_only_the_first_rows_are_looked_at():
    sample, complete = take_sample(Endless())
    assert not complete
    assert [row["n"] for row in sample] == list(range(1, SAMPLE_SIZE + 1))


@pytest.mark.parametrize(("number", "complete"), [(1, True), (SAMPLE_SIZE, True), (SAMPLE_SIZE + 1, False)])
def test_a_sample_knows_whether_it_is_all_rows(number, complete):
    sample, found = take_sample(MemoryRows([{"n": n} for n in range(number)], None))
    assert (len(sample), found) == (min(number, SAMPLE_SIZE), complete)


def test_no_rows_is_an_error():
    with pytest.raises(RowsError) as error:
        take_sample(MemoryRows([], None))
    assert str(error.value) == "rows: there are no rows\n  a run needs at least one"


def test_rows_of_a_file_can_be_read_again(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"text": "a"}, {"text": "b"}]))
    rows = FileRows(JsonReader(path, PluginConfig()), "text")
    assert list(rows.read()) == list(rows.read()) == [("item 1", {"text": "a"}), ("item 2", {"text": "b"})]
    assert rows.name == str(path)
    assert rows.id_column == "text"


def test_rows_of_python_have_places_that_count_from_one():
    assert [place for place, _ in MemoryRows([{}, {}], None).read()] == ["row 1", "row 2"]


def test_a_row_that_is_no_mapping_is_refused():
    with pytest.raises(RowsError) as error:
        list(MemoryRows([{}, "text"], None).read())
    assert str(error.value) == "rows: row 2 is a str, not a mapping"


def test_rows_of_python_are_seen_as_a_run_will_read_them():
    day = dt.date(2024, 1, 2)
    row = {"day": day, "pair": (1, 2), "score": float("nan"), 7: "seven"}
    assert list(MemoryRows([row], None).read()) == [
        ("row 1", {"day": "2024-01-02", "pair": [1, 2], "score": None, "7": "seven"})
    ]


def make_loop():
    loop = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize("value", [object(), make_loop()], ids=["object", "loop"])
def test_what_is_no_plain_value_is_refused_at_its_row(value):
    with pytest.raises(RowsError) as error:
        list(MemoryRows([{}, {"x": value}], None, "table").read())
    assert str(error.value).startswith("table: row 2: the row holds what is no plain value: ")
    assert error.value.hint == "text, numbers, true, false, null, lists and mappings of these can be stored"


def test_half_an_emoji_is_a_plain_value():
    assert list(MemoryRows([{"text": "\ud83d"}], None).read()) == [("row 1", {"text": "\ud83d"})]


def test_columns_have_the_type_that_holds_every_value():
    rows = [{"n": 1, "x": None, "mixed": 1}, {"n": 2.5, "x": "a", "mixed": "b"}]
    assert merge_columns(rows) == {"n": FLOAT, "x": nullable("str"), "mixed": ANY}


def test_what_some_rows_lack_can_be_null():
    assert merge_columns([{"a": 1}, {"a": 2, "b": "x"}]) == {"a": INT, "b": nullable("str")}
    assert merge_columns([{"a": 1, "b": "x"}, {"a": 2}]) == {"a": INT, "b": nullable("str")}


def test_columns_stand_in_order_of_first_sight():
    assert list(merge_columns([{"b": 1}, {"a": 1, "b": 1}])) == ["b", "a"]
    assert merge_columns([]) == {}


values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)
tables = st.lists(st.dictionaries(st.sampled_from("abc"), values | st.lists(values, max_size=3)), max_size=6)


@given(tables, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter_for_the_types(rows, random):
    assert merge_columns(random.sample(rows, len(rows))) == merge_columns(rows)
