"""The contract: written, read back, compared."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool_core.interfaces.contract import compare_schemas, fits_contract, read_contract, write_contract
from pool_core.interfaces.type_text import parse_type
from pool_core.interfaces.types import FieldType, make_struct, subsumes
from pool_core.recipe.yaml_source import read_yaml

TYPES = st.sampled_from(
    ["null", "any", "int?", "str?", "list[int?]?", "{a: int, 'b c': str}?", "'x: y' | '#'?", "map[any]?"]
)


def make_schema(**types):
    return {name: parse_type(text) for name, text in types.items()}


NAMES = st.text("abyesnotruful_ 1:#'\"~?\n\r\t\x07\x1b\x85\u2028\u202e\ufeff\x00ü😀\\", max_size=6)
ODD = st.dictionaries(NAMES, st.just(FieldType("int")), max_size=2).map(make_struct)


@given(st.dictionaries(NAMES, TYPES.map(parse_type) | ODD, max_size=4))
def test_a_contract_written_is_read_back(schema):
    data, _ = read_yaml(write_contract(schema), Path("contract.yaml"))
    assert read_contract(data) == schema


def test_how_it_looks():
    assert write_contract(make_schema(score="float?", generation="str?", tags="list[str]?")).splitlines()[1:] == [
        "contract: 1",
        "fields:",
        "  generation: str?",
        "  score: float?",
        '  tags: "list[str]?"',
    ]


@pytest.mark.parametrize(
    ("old", "new", "change", "breaking"),
    [
        ({}, {"a": "str?"}, "+ a: str?", False),
        ({"a": "str?"}, {}, "- a: str?", True),
        ({"a": "str?"}, {"a": "int?"}, "~ a: str? -> int?", True),
        ({"a": "int?"}, {"a": "float?"}, "~ a: int? -> float?", True),
        ({"a": "float?"}, {"a": "int?"}, "~ a: float? -> int?", False),
        ({"a": "any"}, {"a": "str?"}, "~ a: any -> str?", False),
        ({"a": "str?"}, {"a": "any"}, "~ a: str? -> any", True),
        ({"a": "str?"}, {"a": "'x'?"}, "~ a: str? -> 'x'?", False),
        ({"a": "{b: int, c: str?}?"}, {"a": "{b: int}?"}, "~ a: {b: int, c: str?}? -> {b: int}?", True),
        ({"a": "{b: int}?"}, {"a": "{b: int, c: str}?"}, "~ a: {b: int}? -> {b: int, c: str}?", False),
        ({"a": "list[any]?"}, {"a": "list[int]?"}, "~ a: list[any]? -> list[int]?", False),
        ({"a": "map[{b: any}]?"}, {"a": "map[{b: int}]?"}, "~ a: map[{b: any}]? -> map[{b: int}]?", False),
        ({"a": "list[int]?"}, {"a": "list[any]?"}, "~ a: list[int]? -> list[any]?", True),
        ({"a": "list[int]?"}, {"a": "list[int?]?"}, "~ a: list[int]? -> list[int?]?", True),
        ({"a": "int"}, {"a": "int?"}, "~ a: int -> int?", True),
        ({"a": "int?"}, {"a": "null"}, "~ a: int? -> null", False),
        ({"a": "null"}, {"a": "int?"}, "~ a: null -> int?", True),
        ({"a": "'x' | 'y'?"}, {"a": "'x' | 'z'?"}, "~ a: 'x' | 'y'? -> 'x' | 'z'?", True),
        ({"a": "map[int]?"}, {"a": "{b: int}?"}, "~ a: map[int]? -> {b: int}?", True),
    ],
)
def test_what_breaks_a_reader(old, new, change, breaking):
    (found,) = compare_schemas(make_schema(**old), make_schema(**new))
    assert (str(found), found.breaking) == (change, breaking)


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("{b: int}?", "{b: int, c: str?}?", "added"),
        ("list[{b: float}]?", "list[{b: int, c: str}]?", "added"),
        ("{b: any}?", "{b: {c: int}}?", "narrowed"),
        ("{b: int, c: str?}?", "{b: int, d: str?}?", "retyped"),
    ],
)
def test_what_is_new_inside_of_a_field_is_added(old, new, kind):
    (found,) = compare_schemas(make_schema(a=old), make_schema(a=new))
    assert found.kind == kind


ALL_TYPES = st.recursive(
    st.sampled_from(["null", "any", "int", "float", "str", "bool", "'x'", "'x' | 'y'"]).map(parse_type),
    lambda inner: st.one_of(
        inner.map(lambda items: FieldType("list", items=items)),
        inner.map(lambda items: FieldType("map", items=items)),
        inner.map(lambda type_: replace(type_, nullable=True)),
        st.dictionaries(st.sampled_from("ab"), inner, max_size=2).map(make_struct),
    ),
    max_leaves=4,
)


@given(ALL_TYPES, ALL_TYPES, ALL_TYPES)
def test_fitting_a_contract_is_an_order(one, two, three):
    assert fits_contract(one, one)
    if fits_contract(one, two) and fits_contract(two, three):
        assert fits_contract(one, three)


@given(ALL_TYPES, ALL_TYPES)
def test_a_type_that_is_subsumed_fits(wide, narrow):
    if subsumes(wide, narrow):
        assert fits_contract(wide, narrow)


@given(ALL_TYPES, ALL_TYPES)
def test_a_field_means_the_same_at_the_top_and_inside(old, new):
    contract, schema = {"a": old}, {"a": new}
    (outer,) = compare_schemas({"s": make_struct(contract)}, {"s": make_struct(schema)}) if old != new else (None,)
    inner = list(compare_schemas(contract, schema))
    assert (outer is not None and outer.breaking) is any(change.breaking for change in inner)
    gone = list(compare_schemas({"s": make_struct(contract)}, {"s": make_struct({})}))
    more = list(compare_schemas({"s": make_struct({})}, {"s": make_struct(schema)}))
    assert [change.breaking for change in [*gone, *more]] == [True, False]


def test_equal_schemas_have_no_changes():
    assert list(compare_schemas(make_schema(a="int", b="str?"), make_schema(b="str?", a="int"))) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "a contract has the keys `contract` and `fields`, and no other"),
        ({"contract": 1, "fields": {}, "more": 1}, "a contract has the keys `contract` and `fields`, and no other"),
        ({"contract": 2, "fields": {}}, "the contract is of version 2, this pool-core reads 1"),
        ({"contract": True, "fields": {}}, "the contract is of version True, this pool-core reads 1"),
        ({"contract": 1.0, "fields": {}}, "the contract is of version 1.0, this pool-core reads 1"),
        ({"contract": 1, "fields": []}, "`fields` is a mapping of names to types"),
        ({"contract": 1, "fields": {"a": 1}}, "the type of 'a' must be text, as in `str?`"),
        ({"contract": 1, "fields": {"a": {"b": "int"}}}, "the type of 'a' must be text, as in `str?`; quote it"),
        ({"contract": 1, "fields": {"a": ["b"]}}, "the type of 'a' must be text, as in `str?`; quote it"),
        ({"contract": 1, "fields": {"a": None}}, "the type of 'a' must be text, as in `str?`; quote it"),
        (
            {"contract": 1, "fields": {"a": "text"}},
            (
                "the type of 'a': 'text' is no type; "
                "known are any, bool, float, int, null, str, list[...], map[...], {...}"
            ),
        ),
    ],
)
def test_what_is_no_contract_says_why(data, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_contract(data)
