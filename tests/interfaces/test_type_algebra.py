"""The algebra of types: the laws of unify and subsumes, text and back, and what casts keep."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from pool_core.interfaces.cast import can_cast, cast_value
from pool_core.interfaces.json_schema import describe_fields, describe_type
from pool_core.interfaces.type_text import parse_type
from pool_core.interfaces.types import ANY, NULL, Conflict, FieldType, accepts, infer_type, subsumes, unify

NAMES = st.sampled_from(["a", "b", "c", "d e", "'", "ü"])
LITERALS = st.lists(st.sampled_from(["x", "y", "it's", 'say "z"', "a|b", "\n"]), min_size=1, max_size=3, unique=True)


def make_nullable(types):
    return st.builds(lambda type_, nullable: replace(type_, nullable=nullable or type_.nullable), types, st.booleans())


SCALARS = st.sampled_from([FieldType("bool"), FieldType("int"), FieldType("float"), FieldType("str"), NULL, ANY])
LEAVES = SCALARS | LITERALS.map(lambda values: FieldType("literal", values=tuple(sorted(values))))
TYPES = st.recursive(
    make_nullable(LEAVES),
    lambda inner: make_nullable(
        inner.map(lambda items: FieldType("list", items=items))
        | inner.map(lambda items: FieldType("map", items=items))
        | st.dictionaries(NAMES, inner, max_size=3).map(
            lambda fields: FieldType("struct", fields=tuple(sorted(fields.items())))
        )
    ),
    max_leaves=6,
)
OPEN = st.booleans()


def merge(*types, open_structs):
    merged = types[0]
    for type_ in types[1:]:
        if not isinstance(merged, Conflict):
            merged = unify(merged, type_, open_structs=open_structs)
    return "conflict" if isinstance(merged, Conflict) else merged


@given(TYPES, OPEN)
def test_unify_is_idempotent(a, open_structs):
    assert unify(a, a, open_structs=open_structs) == a


@given(TYPES, TYPES, OPEN)
def test_unify_is_commutative(a, b, open_structs):
    assert merge(a, b, open_structs=open_structs) == merge(b, a, open_structs=open_structs)


@given(TYPES, TYPES, TYPES, OPEN)
def test_unify_is_associative(a, b, c, open_structs):
    left = merge(a, b, c, open_structs=open_structs)
    tail = unify(b, c, open_structs=open_structs)
    right = "conflict" if isinstance(tail, Conflict) else merge(a, tail, open_structs=open_structs)
    assert left == right


@given(TYPES, TYPES, OPEN)
def test_the_merged_type_subsumes_both(a, b, open_structs):
    merged = unify(a, b, open_structs=open_structs)
    if not isinstance(merged, Conflict):
        assert subsumes(merged, a, open_structs=open_structs)
        assert subsumes(merged, b, open_structs=open_structs)


@given(TYPES, TYPES, TYPES, OPEN)
def test_subsumes_is_an_order(a, b, c, open_structs):
    assert subsumes(a, a, open_structs=open_structs)
    if subsumes(a, b, open_structs=open_structs) and subsumes(b, c, open_structs=open_structs):
        assert subsumes(a, c, open_structs=open_structs)
    if subsumes(a, b, open_structs=open_structs) and subsumes(b, a, open_structs=open_structs):
        assert a == b


@given(TYPES, TYPES)
def test_what_unifies_closed_unifies_open_alike(a, b):
    closed = unify(a, b)
    if not isinstance(closed, Conflict):
        assert unify(a, b, open_structs=True) == closed


@given(TYPES)
def test_a_type_written_is_read_back(type_):
    assert parse_type(str(type_)) == type_


@pytest.mark.parametrize(
    ("left", "right", "merged"),
    [
        ("int", "float", "float"),
        ("int?", "float", "float?"),
        ("'a'", "str", "str"),
        ("'a'", "'b'", "'a' | 'b'"),
        ("null", "list[int]", "list[int]?"),
        ("list[int]", "list[float?]", "list[float?]"),
        ("{a: int}", "{a: float?}", "{a: float?}"),
        ("map[int]", "map[float]", "map[float]"),
    ],
)
def test_widening_that_loses_nothing(left, right, merged):
    assert str(unify(parse_type(left), parse_type(right))) == merged


@pytest.mark.parametrize(
    ("left", "right", "path"),
    [
        ("int", "str", ""),
        ("bool", "int", ""),
        ("any", "str", ""),
        ("list[int]", "int", ""),
        ("list[int]", "list[str]", "[]"),
        ("{a: {b: list[int]}}", "{a: {b: list[str]}}", "a.b[]"),
        ("{a: int}", "{a: int, b: int}", ""),
        ("map[int]", "{a: int}", ""),
    ],
)
def test_anything_else_is_a_conflict_with_its_path(left, right, path):
    conflict = unify(parse_type(left), parse_type(right))
    assert isinstance(conflict, Conflict)
    assert conflict.path == path


def test_open_structs_may_lack_fields_which_become_nullable():
    merged = unify(parse_type("{a: int}"), parse_type("{a: int, b: str}"), open_structs=True)
    assert str(merged) == "{a: int, b: str?}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("in", "'in' is no type; known are any, bool, float, int, null, str, list[...], map[...], {...}"),
        ("list[int", "expected ']' at character 9 of the type, found the end"),
        ("{a int}", "expected ':' at character 4 of the type, found 'int'"),
        ("'a' | b", "expected a quoted value at character 7 of the type, found 'b'"),
        ("int x", "expected the end at character 5 of the type, found 'x'"),
        ("", "expected a type at character 1 of the type, found the end"),
        ("{a: int, a: str}", "the field 'a' stands twice in the type"),
        ("%", "'%' cannot stand in a type"),
        ("{1: int}", "'1: int}' cannot stand in a type"),
        ("list[" * 60 + "int" + "]" * 60, "the type is nested more than 50 levels deep"),
        (" " * 100_001, "a type has at most 100,000 characters"),
    ],
)
def test_what_is_no_type_says_where(text, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_type(text)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-100, 100)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=5,
)


@given(VALUES, TYPES)
def test_a_cast_gives_a_value_of_the_type_or_says_why_not(value, target):
    try:
        cast = cast_value(value, target)
    except ValueError:
        return
    assert accepts(target, infer_type(cast))
    assert cast_value(cast, target) == cast


@given(TYPES, TYPES)
def test_a_cast_that_is_allowed_has_a_value_that_survives(source, target):
    if can_cast(source, target) and source != ANY and "any" not in str(source) and "null" not in str(source):
        values = [make_value(source, number) for number in range(4)]
        if target.kind == "literal" or "'" in str(target):
            return  # whether a text is one of few is a matter of the text
        event(f"{source.kind} to {target.kind}")
        assert any(survives(value, target) for value in values), (str(source), str(target))


def make_value(type_, number):
    """A value of ``type_``; the texts of some numbers are numbers, or truths."""
    match type_.kind:
        case "bool":
            return bool(number % 2)
        case "int":
            return number
        case "float":
            return float(number)
        case "str":
            return ["x", "1", "1.5", "true"][number]
        case "literal":
            return type_.values[number % len(type_.values)]
        case "list":
            return [make_value(type_.items, number)]
        case "map":
            return {"k": make_value(type_.items, number)}
        case "struct":
            return {name: make_value(found, number) for name, found in type_.fields}
        case _:
            return None


def survives(value, target):
    try:
        cast_value(value, target)
    except ValueError:
        return False
    return True


@given(VALUES)
def test_everything_can_be_cast_to_text(value):
    source = infer_type(value)
    target = FieldType("str", nullable=True)
    assert can_cast(source, target)
    assert isinstance(cast_value(value, target), str | None)


@pytest.mark.parametrize(
    ("value", "target", "result"),
    [
        ("3", "int", 3),
        ("3.0", "int", 3),
        (3.0, "int", 3),
        (True, "int", 1),
        ("1e3", "float", 1000.0),
        (" Yes ", "bool", True),
        (0, "bool", False),
        (3, "str", "3"),
        (True, "str", "true"),
        ({"a": 1}, "str", '{"a":1}'),
        (["1", 2], "list[int]", [1, 2]),
        ({"a": "1"}, "map[float]", {"a": 1.0}),
        ({"a": "1", "z": 2}, "{a: int, b: str?}", {"a": 1, "b": None}),
        (None, "int?", None),
    ],
)
def test_casts(value, target, result):
    assert cast_value(value, parse_type(target)) == result


@pytest.mark.parametrize(
    ("value", "target", "message"),
    [
        ("x", "int", "could not convert string to float: 'x'"),
        (2.5, "int", "2.5 is no whole number"),
        ("nan", "float", "'nan' is not finite"),
        ("maybe", "bool", "'maybe' is neither true nor false"),
        ([1], "int", "a list is no int"),
        (1, "list[int]", "a int is no list[int]"),
        ("c", "'a' | 'b'", "'c' is none of 'a' | 'b'"),
        (None, "str", "null is no str"),
        (10**400, "float", "the number is too large for a float"),
    ],
)
def test_a_cast_that_fails_says_why(value, target, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        cast_value(value, parse_type(target))


@pytest.mark.parametrize(
    ("source", "target", "able"),
    [
        ("int?", "int", False),
        ("int?", "int?", True),
        ("str", "int", True),
        ("{a: int}", "int", False),
        ("{a: int}", "str", True),
        ("list[str]", "list[int]", True),
        ("list[{a: int}]", "list[int]", False),
        ("{a: int}", "map[str]", True),
        ("{a: str}", "{a: int}", True),
        ("{a: int, z: int}", "{a: int, b: str?}", True),
        ("{a: int}", "{a: int, b: str}", False),
        ("{a: {b: int}}", "{a: int}", False),
        ("int", "null", False),
        ("int", "bool", True),
        ("float", "bool", False),
        ("str", "'a' | 'b'", True),
        ("int", "'1' | '2'", False),
        ("'a' | 'b'", "int", False),
        ("'1' | 'b'", "int", True),
        ("'a' | 'b'", "'b' | 'c'", True),
        ("'a'", "'b' | 'c'", False),
        ("int?", "null", False),
        ("null", "int?", True),
        ("null", "null", True),
        ("list[int]", "map[int]", False),
        ("any", "int", True),
    ],
)
def test_which_casts_are_worth_trying(source, target, able):
    assert can_cast(parse_type(source), parse_type(target)) is able


def test_json_schema_of_fields():
    fields = {name: parse_type(text) for name, text in {"a": "int", "b": "'x' | 'y'?", "c": "list[{d: any}]?"}.items()}
    assert describe_fields(fields) == {
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            "b": {"type": ["string", "null"], "enum": ["x", "y", None]},
            "c": {
                "type": ["array", "null"],
                "items": {"type": "object", "properties": {"d": {}}, "required": [], "additionalProperties": False},
            },
        },
        "required": ["a"],
        "additionalProperties": False,
    }
    assert describe_type(parse_type("map[float?]")) == {
        "type": "object",
        "additionalProperties": {"type": ["number", "null"]},
    }
