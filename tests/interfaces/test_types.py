"""The types of output fields: read off values, and the algebra of `unify`."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pool_core.interfaces.types import (
    ANY,
    NULL,
    Conflict,
    FieldType,
    infer_type,
    unify,
)

BOOL, INT, FLOAT, STR = (FieldType(kind) for kind in ("bool", "int", "float", "str"))


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
