"""The three layouts: what stands where, and that the schema says the same."""

from __future__ import annotations

import pytest

from pool_core.data.layouts import arrange, make_schema
from pool_core.errors import RowsError
from pool_core.interfaces.encoding import encode_json
from pool_core.interfaces.types import FieldType
from pool_core.store.records import StoredRow

SAID = FieldType("str", nullable=True)
TEXT = FieldType("str")
HEAD = ["member", "model", "task", "sample", "status", "cause", "message"]


def make_generation(member, **values):
    generation = dict.fromkeys(["member", "model", "task", "sample", "status", "cause", "message", "said", "usage"])
    return {**generation, "member": member, **values}


NAMES = list(make_generation("a"))
FOUND = [
    (
        StoredRow(1, 0, "one", b"\1\1", encode_json({"text": "x"})),
        [make_generation("a", said="A"), make_generation("b")],
    ),
    (StoredRow(2, 1, "two", b"\0\0", encode_json({"text": "y", "more": 1})), []),
]


def test_nested():
    assert list(arrange("nested", FOUND, NAMES)) == [
        {"text": "x", "generations": FOUND[0][1]},
        {"text": "y", "more": 1, "generations": []},
    ]


def test_columns_are_lists_of_one_length():
    first, second = arrange("columns", FOUND, NAMES)
    assert first["text"] == "x"
    assert (first["member"], first["said"], first["usage"]) == (["a", "b"], ["A", None], [None, None])
    assert {name: first[name] for name in NAMES}.keys() == set(NAMES)
    assert second == {"text": "y", "more": 1, **{name: [] for name in NAMES}}


def test_long():
    assert list(arrange("long", FOUND, NAMES)) == [
        {"row_id": "one", **FOUND[0][1][0]},
        {"row_id": "one", **FOUND[0][1][1]},
    ]


def test_arranging_leaves_the_generations_as_they_were():
    list(arrange("columns", FOUND, NAMES))
    assert FOUND[0][1][0] == make_generation("a", said="A")


@pytest.mark.parametrize(("layout", "column"), [("nested", "generations"), ("columns", "said"), ("columns", "status")])
def test_a_column_that_the_layout_writes_itself_is_never_lost(layout, column):
    rows = [*FOUND, (StoredRow(3, 2, "three", b"", encode_json({"text": "z", column: "mine"})), [])]
    records = arrange(layout, rows, NAMES)
    assert [next(records)["text"], next(records)["text"]] == ["x", "y"]
    with pytest.raises(RowsError) as error:
        next(records)
    assert str(error.value) == (
        f"the row 'three' has a column {column!r}, which the layout {layout!r} writes itself\n"
        "  choose another layout, such as `long`, or rename the column"
    )
    assert next(arrange("long", rows, NAMES))["row_id"] == "one"


@pytest.mark.parametrize("raw", [False, True])
def test_the_schema_of_each_layout(raw):
    tail = ["said", "usage", *(["raw"] if raw else [])]
    fields, columns = {"said": SAID}, {"text": TEXT}
    long = make_schema("long", {}, fields, raw=raw)
    assert list(long) == ["row_id", *HEAD, *tail]
    assert (long["row_id"], long["said"]) == (TEXT, SAID)
    nested = make_schema("nested", columns, fields, raw=raw)
    assert list(nested) == ["text", "generations"]
    struct = nested["generations"].items
    assert (struct.kind, [name for name, _ in struct.fields]) == ("struct", [*HEAD, *tail])
    assert dict(struct.fields) == {name: type_ for name, type_ in long.items() if name != "row_id"}
    lists = make_schema("columns", columns, fields, raw=raw)
    assert list(lists) == ["text", *HEAD, *tail]
    assert {name: type_.items for name, type_ in lists.items() if name != "text"} == dict(struct.fields)
    assert {type_.kind for name, type_ in lists.items() if name != "text"} == {"list"}
