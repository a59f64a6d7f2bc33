"""The types of output fields: read off annotations and values, and the algebra of `unify`."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Optional, Union

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, RootModel

from pool_core.interfaces.types import (
    ANY,
    NULL,
    Conflict,
    FieldType,
    infer_type,
    read_annotation,
    read_model,
    unify,
)

BOOL, INT, FLOAT, STR = (FieldType(kind) for kind in ("bool", "int", "float", "str"))


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Number(enum.IntEnum):
    ONE = 1


class Mixed(enum.Enum):
    ONE = 1
    TWO = "two"


class Inner(BaseModel):
    b: int
    a: str | None = None


class Names(RootModel[list[str]]):
    pass


class Node(BaseModel):
    value: int
    children: list[Node] = []
    parent: Node | None = None


class Tagged(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (None, "null"),
        (type(None), "null"),
        (bool, "bool"),
        (int, "int"),
        (float, "float"),
        (str, "str"),
        (Tagged, "str"),
        (Any, "any"),
        (object, "any"),
        (datetime, "any"),
        (Optional[int], "int?"),  # noqa: UP045 - both spellings are read
        (int | None, "int?"),
        (None | int, "int?"),
        (Union[int, float], "float"),  # noqa: UP007
        (int | float | None, "float?"),
        (int | str, "any"),
        (int | str | None, "any"),
        (int | None | str, "any"),
        (Literal["b", "a"], "'a' | 'b'"),
        (Literal["a", None], "'a'?"),  # noqa: PYI061
        (Literal[1, 2], "int"),
        (Literal[True], "bool"),
        (Literal["a", 1], "any"),
        (Literal[Colour.RED], "'red'"),
        (Literal["a"] | str, "str"),  # noqa: PYI051
        (Colour, "'blue' | 'red'"),
        (Number, "int"),
        (Mixed, "any"),
        (list, "list[any]"),
        (dict, "map[any]"),
        (list[int], "list[int]"),
        (list[None], "list[null]"),
        (list[int | None], "list[int?]"),
        (set[str], "list[str]"),
        (frozenset[str], "list[str]"),
        (Sequence[int], "list[int]"),
        (Iterable[int], "list[int]"),
        (tuple[int, ...], "list[int]"),
        (tuple[int, float], "list[float]"),
        (tuple[int, str], "list[any]"),
        (tuple[()], "list[null]"),
        (list[list[int]] | None, "list[list[int]]?"),
        (dict[str, int], "map[int]"),
        (Mapping[str, list[int]], "map[list[int]]"),
        (dict[int, str], "any"),
        (Inner, "{a: str?, b: int}"),
        (list[Inner], "list[{a: str?, b: int}]"),
        (Names, "list[str]"),
        (Annotated[int, Field(ge=1)], "int"),
        (Annotated[int, {"no": "hash"}], "int"),
        (list[Annotated[int, {"no": "hash"}]], "list[int]"),
        (Node, "{children: list[any], parent: any, value: int}"),
    ],
)
def test_annotations(annotation, text):
    assert str(read_annotation(annotation)) == text


def test_strings_of_an_enumeration_are_plain_strings():
    assert type(read_annotation(Literal[Colour.RED]).values[0]) is str
    assert {type(value) for value in read_annotation(Colour).values} == {str}


def test_a_models_fields_are_in_order_of_declaration():
    assert list(read_model(Inner)) == ["b", "a"]
    assert read_model(Inner) == {"b": INT, "a": FieldType("str", nullable=True)}
    assert read_model(Node)["children"] == FieldType("list", items=ANY)


def test_models_that_hold_themselves_by_way_of_others_have_a_type():
    class Left(BaseModel):
        right: Right | None = None
        again: Inner | None = None

    class Right(BaseModel):
        left: Left | None = None

    Left.model_rebuild(_types_namespace={"Right": Right})
    assert str(read_annotation(Left)) == "{again: {a: str?, b: int}?, right: {left: any}?}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "bool"),
        (1, "int"),
        (1.0, "float"),
        ("x", "str"),
        ([], "list[null]"),
        ([1, 2.5, None], "list[float?]"),
        ((1, "x"), "list[any]"),
        ([[], [1]], "list[list[int?]]"),
        ({}, "{}"),
        ({"b": 1, "a": [None]}, "{a: list[null], b: int}"),
        ([{"a": 1}, {"a": None}], "list[{a: int?}]"),
        ([{"a": 1}, {"b": 1}], "list[any]"),
        (object(), "any"),
    ],
)
def test_values(value, text):
    assert str(infer_type(value)) == text


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (INT, FLOAT, "float"),
        (INT, FieldType("float", nullable=True), "float?"),
        (FieldType("literal", values=("a",)), STR, "str"),
        (FieldType("literal", values=("b",)), FieldType("literal", nullable=True, values=("a", "b")), "'a' | 'b'?"),
        (NULL, INT, "int?"),
        (NULL, ANY, "any"),
        (NULL, NULL, "null"),
        (ANY, ANY, "any"),
        (FieldType("list", items=INT), FieldType("list", nullable=True, items=FLOAT), "list[float]?"),
        (FieldType("map", items=NULL), FieldType("map", items=STR), "map[str?]"),
        (
            FieldType("struct", fields=(("a", INT), ("b", STR))),
            FieldType("struct", fields=(("b", NULL), ("a", FLOAT))),
            "{a: float, b: str?}",
        ),
    ],
)
def test_types_that_fit(left, right, expected):
    assert str(unify(left, right)) == expected


LISTS = FieldType("struct", fields=(("a", INT), ("b", FieldType("list", items=STR))))


@pytest.mark.parametrize(
    ("left", "right", "path"),
    [
        (INT, STR, "f"),
        (BOOL, INT, "f"),
        (ANY, INT, "f"),
        (FieldType("list", items=INT), FieldType("map", items=INT), "f"),
        (FieldType("list", items=INT), FieldType("list", items=STR), "f[]"),
        (FieldType("struct", fields=(("a", INT),)), FieldType("map", items=INT), "f"),
        (LISTS, FieldType("struct", fields=(("a", INT),)), "f"),
        (LISTS, FieldType("struct", fields=(("a", FLOAT), ("b", FieldType("list", items=INT)))), "f.b[]"),
    ],
)
def test_types_that_conflict_say_where(left, right, path):
    conflict = unify(left, right, "f")
    assert isinstance(conflict, Conflict)
    assert conflict.path == path
    assert unify(left, right).path == path[1:].removeprefix(".")


# the algebra

NAMES = st.sampled_from(("a", "b", "c"))


def _nest(inner):
    structs = st.dictionaries(NAMES, inner, max_size=2).map(lambda fields: tuple(sorted(fields.items())))
    return st.one_of(
        st.builds(FieldType, st.sampled_from(("list", "map")), st.booleans(), items=inner),
        st.builds(FieldType, st.just("struct"), st.booleans(), fields=structs),
    )


LITERALS = st.builds(
    FieldType, st.just("literal"), st.booleans(), values=st.sets(NAMES, min_size=1).map(lambda v: tuple(sorted(v)))
)
LEAVES = st.one_of(
    st.sampled_from((NULL, ANY)),
    st.builds(FieldType, st.sampled_from(("bool", "int", "float", "str")), st.booleans()),
    LITERALS,
)
TYPES = st.recursive(LEAVES, _nest, max_leaves=6)
#: Types that often unify with each other.
NEAR = st.sampled_from((INT, FLOAT, NULL, FieldType("int", nullable=True))) | st.sampled_from((STR, NULL)) | LITERALS
NEAR_TYPES = NEAR | st.builds(FieldType, st.just("list"), st.booleans(), items=NEAR) | TYPES


@given(TYPES)
def test_unify_is_idempotent(one):
    assert unify(one, one) == one


@given(NEAR_TYPES, NEAR_TYPES)
def test_unify_is_commutative(one, two):
    forth, back = unify(one, two), unify(two, one)
    if isinstance(forth, Conflict):
        assert back == Conflict(forth.right, forth.left, forth.path)
    else:
        assert back == forth


@given(NEAR_TYPES, NEAR_TYPES, NEAR_TYPES)
def test_unify_is_associative_as_far_as_a_result_exists(one, two, three):
    first, last = unify(one, two), unify(two, three)
    left = first if isinstance(first, Conflict) else unify(first, three)
    right = last if isinstance(last, Conflict) else unify(one, last)
    if isinstance(left, Conflict) or isinstance(right, Conflict):
        assert isinstance(left, Conflict)
        assert isinstance(right, Conflict)
    else:
        assert left == right


@given(NEAR_TYPES, NEAR_TYPES)
def test_what_two_unify_to_holds_both(one, two):
    both = unify(one, two)
    assume(not isinstance(both, Conflict))
    assert unify(both, one) == both
    assert unify(both, two) == both


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=6,
)


@given(st.lists(PLAIN, max_size=4), st.randoms())
def test_the_type_of_a_list_does_not_depend_on_the_order_of_its_items(items, random):
    shuffled = list(items)
    random.shuffle(shuffled)
    assert infer_type(shuffled) == infer_type(items)


@given(TYPES)
def test_every_type_has_a_text(one):
    assert str(one).endswith("?") is (one.nullable and one.kind not in ("null", "any"))
