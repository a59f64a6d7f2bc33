"""Paths into columns: how they are written, and where a type has no place for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool_core.interfaces.paths import Gap, InputPath, find_gap, write_steps
from pool_core.interfaces.type_text import parse_type
from pool_core.interfaces.types import FieldType, infer_type

META = parse_type("{author: {name: str, born: int?}?, tags: list[{label: str}], scores: map[{value: float}]}")


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        (("meta",), "meta"),
        (("meta", "author", "name"), "meta.author.name"),
        (("turns", None, "content"), "turns[].content"),
        (("turns", -1, "a b", 0), "turns[-1]['a b'][0]"),
        (("a column", "x"), "a column.x"),
    ],
)
def test_how_a_path_is_written(steps, text):
    assert write_steps(steps) == str(InputPath(steps)) == text


@pytest.mark.parametrize(
    ("steps", "reached", "kind", "key"),
    [
        (("writer",), 0, "struct", "writer"),
        (("author", "surname"), 1, "struct", "surname"),
        (("author", "name", "first"), 2, "str", "first"),
        (("author", "born", "year"), 2, "int", "year"),
        (("tags", "label"), 1, "list", "label"),
        (("tags", None, "text"), 2, "struct", "text"),
        (("tags", -1, "text"), 2, "struct", "text"),
        (("scores", "any key", "size"), 2, "struct", "size"),
    ],
)
def test_keys_that_no_value_has(steps, reached, kind, key):
    gap = find_gap(META, steps)
    assert gap is not None
    assert (gap.reached, gap.type.kind, gap.key) == (reached, kind, key)


@pytest.mark.parametrize(
    "steps",
    [
        (),
        ("author", "born"),
        ("tags", 99, "label"),
        ("tags", None, "label"),
        ("scores", "any key", "value"),
        ("author", 0),
        ("author", None, "x"),
        ("author", "name", None),
    ],
)
def test_places_that_may_be_there_and_steps_that_name_no_key(steps):
    assert find_gap(META, steps) is None


@pytest.mark.parametrize("text", ["any", "null", "list[any]", "list[null]", "map[any]"])
def test_nothing_is_said_of_what_is_not_known(text):
    type_ = parse_type(text)
    assert find_gap(type_, (*((0,) if type_.kind == "list" else ("k",) if type_.kind == "map" else ()), "x")) is None


def test_a_struct_without_fields_has_none():
    empty = FieldType("struct")
    assert find_gap(empty, ("x",)) == Gap(0, empty, "x")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("xy", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


def list_places(value, steps=()):
    """Every path that leads somewhere in a value."""
    yield steps
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, child in children:
        yield from list_places(child, (*steps, step))


@given(JSON)
def test_a_value_has_every_place_in_it(value):
    assert [steps for steps in list_places(value) if find_gap(infer_type(value), steps) is not None] == []
