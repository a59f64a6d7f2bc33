"""Ids of rows: a column's value, or a hash of what the row holds."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from random import Random
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pool_core.data.identify import Occurrences, identify_rows
from pool_core.errors import RowsError
from pool_core.interfaces.encoding import decode_json
from pool_core.plan.build import make_plan
from pool_core.plan.rows import MemoryRows
from pool_core.recipe.models import Member, PoolSpec, Recipe
from pool_core.testing.scripted import EchoTask, ScriptedBackend, make_registry
from pool_core.testing.scripted_plugin import ScriptedPlugin


class Raw:
    """Rows exactly as a reader yields them."""

    name = "table"

    def __init__(self, rows, id_column=None):
        self.rows = rows
        self.id_column = id_column

    def read_schema(self):
        return None

    def read(self):
        return ((f"line {number}", row) for number, row in enumerate(self.rows, 1))


def make(rows, *, output=None, **pool):
    member = Member(name="a", backend=ScriptedBackend(lambda request: ""), task=EchoTask())
    recipe = Recipe(pool=PoolSpec(members=(member,), policies=(), **pool), output=output)
    registry = make_registry()
    registry.register(ScriptedPlugin(), name="scripted")
    return make_plan(recipe, registry, rows=rows)


def identify(rows, id_column=None):
    return list(identify_rows(make(Raw(rows, id_column))))


def list_ids(rows, id_column=None):
    return [row.row_id for row in identify(rows, id_column)]


def test_a_column_gives_the_id():
    rows = identify([{"id": "x", "text": "a"}, {"id": 7}], "id")
    assert [(row.row_id, row.place) for row in rows] == [("x", "line 1"), ("7", "line 2")]
    assert decode_json(rows[0].data) == {"id": "x", "text": "a"}


@pytest.mark.parametrize("value", ["", None, 1.5, True, [1], {"a": 1}])
def test_an_id_must_be_text_or_a_whole_number(value):
    with pytest.raises(RowsError) as error:
        list_ids([{"id": 1}, {"id": value}], "id")
    assert str(error.value) == (f"table: line 2: an id must be text or a whole number; the row has {value!r} in 'id'")


def test_a_row_without_its_id_is_refused():
    with pytest.raises(RowsError) as error:
        list_ids([{"id": 1}, {"text": "x"}], "id")
    assert str(error.value) == "table: line 2: an id must be text or a whole number; the row has none in 'id'"


def test_an_id_that_is_half_an_emoji_is_refused():
    with pytest.raises(RowsError) as error:
        list_ids([{"id": "\ud83d"}], "id")
    assert str(error.value) == "table: line 1: the id '\\ud83d' is no valid text"


def test_the_content_gives_the_id_whatever_the_order_of_columns():
    one, other, third = list_ids([{"a": 1, "b": {"x": 1, "y": 2}}, {"a": 2}, {"b": {"y": 2, "x": 1}, "a": 1}])
    assert third == f"{one}-2"
    assert len({one, other, third}) == 3


def test_equal_rows_are_different_rows():
    first, *rest = list_ids([{"text": "x"}] * 4)
    assert rest == [f"{first}-2", f"{first}-3", f"{first}-4"]
    assert list_ids([{"text": "y"}, {"text": "x"}])[1] == first


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"text": "\ud83d", "a": 1}, {"a": 1, "text": "\ud83d"}),
        ({"text": {1: "x", 2: "y"}}, {"text": {2: "y", 1: "x"}}),
        (MappingProxyType({"a": 1, "b": 2}), {"b": 2, "a": 1}),
    ],
    ids=["surrogate", "number", "mapping"],
)
def test_rows_that_are_hard_to_encode_have_ids_too(one, other):
    first, second, third = list_ids([one, other, {"text": "else"}])
    assert second == f"{first}-2"
    assert third != first


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=3),
    max_leaves=6,
)
rows = st.dictionaries(st.text(max_size=4), plain, max_size=4)


@settings(deadline=None)
@given(rows, rows)
def test_ids_are_equal_for_equal_content_alone(one, other):
    def write(row):
        return json.dumps(row, sort_keys=True)

    first, second = list_ids([one, other])
    assert (second == f"{first}-2") == (write(one) == write(other))


@settings(deadline=None)
@given(rows)
def test_the_stored_row_is_the_row(row):
    assert decode_json(identify([row])[0].data) == row


def test_what_is_no_plain_value_is_refused_at_its_place():
    with pytest.raises(RowsError) as error:
        list_ids([{"text": "x"}, {"text": object()}])
    assert str(error.value).startswith("table: line 2: the row holds what is no plain value: ")
    assert error.value.hint == "text, numbers, true, false, null, lists and mappings of these can be stored"


def test_a_row_without_end_is_refused():
    source = Raw([{"text": "x"}])
    plan = make(source)
    loop = []
    loop.append(loop)
    source.rows = [{"loop": loop}]
    with pytest.raises(RowsError, match="table: line 1: the row holds what is no plain value"):
        list(identify_rows(plan))


@pytest.mark.parametrize(
    ("layout", "raw", "taken"),
    [
        ("nested", False, {"generations"}),
        ("columns", False, {"said", "member", "usage"}),
        ("columns", True, {"said", "member", "usage", "raw"}),
        ("long", True, set()),
    ],
)
def test_a_late_column_that_the_layout_writes_itself_is_refused(layout, raw, taken):
    for column in ("generations", "said", "member", "usage", "raw", "row_id"):
        rows = [{"text": "x"}] * 150 + [{"text": "x", column: 1}]
        plan = make(Raw(rows), output={"path": "out.json", "layout": layout, "raw": raw})
        assert plan.compatible
        if column not in taken:
            assert len(list(identify_rows(plan))) == 151
            continue
        with pytest.raises(RowsError) as error:
            list(identify_rows(plan))
        assert str(error.value) == (
            f"table: line 151: the row has a column {column!r}, which the layout {layout!r} writes itself\n"
            "  rename the column, or choose another layout, such as `long`"
        )


def test_assignments_follow_position_and_id():
    plan = make(MemoryRows([{"text": "a"}, {"text": "b"}], None), samples=3)
    assert [row.assigned for row in identify_rows(plan)] == [b"\3", b"\3"]


def test_rows_stream():
    source = Raw([{"text": "x"}])
    plan = make(source)

    def read():
        yield {"text": "y"}
        pytest.fail("read ahead")

    source.rows = read()
    assert next(identify_rows(plan)).data == b'{"text":"y"}'


@given(st.lists(st.integers(0, (1 << 64) - 1) | st.sampled_from([0, 1, 1 << 54, (1 << 64) - 1])))
def test_occurrences_are_counted(numbers):
    occurrences, expected = Occurrences(), Counter()
    for number in numbers:
        expected[number] += 1
        assert occurrences.count(number) == expected[number]


def test_many_occurrences_take_little_memory():
    random = Random(1)
    tracemalloc.start()
    try:
        occurrences = Occurrences()
        for _ in range(100_000):
            occurrences.count(random.getrandbits(64))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / 100_000 < 24  # the arrays have some room to grow
