"""The contract: written, read back, compared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool_core.interfaces.contract import compare_schemas, read_contract, write_contract
from pool_core.interfaces.type_text import parse_type
from pool_core.recipe.yaml_source import read_yaml

TYPES = st.sampled_from(
    ["null", "any", "int?", "str?", "list[int?]?", "{a: int, 'b c': str}?", "'x: y' | '#'?", "map[any]?"]
)


def make_schema(**types):
    return {name: parse_type(text) for name, text in types.items()}


@given(st.dictionaries(st.text("abyesnotruful_ 1:#'\"~", min_size=1, max_size=6), TYPES.map(parse_type), max_size=4))
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
        ({"a": "{b: int, c: str?}?"}, {"a": "{b: int}?"}, "~ a: {b: int, c: str?}? -> {b: int}?", False),
        ({"a": "{b: int}?"}, {"a": "{b: int, c: str?}?"}, "~ a: {b: int}? -> {b: int, c: str?}?", True),
    ],
)
def test_what_breaks_a_reader(old, new, change, breaking):
    (found,) = compare_schemas(make_schema(**old), make_schema(**new))
    assert (str(found), found.breaking) == (change, breaking)


def test_equal_schemas_have_no_changes():
    assert list(compare_schemas(make_schema(a="int", b="str?"), make_schema(b="str?", a="int"))) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "a contract has the keys `contract` and `fields`, and no other"),
        ({"contract": 1, "fields": {}, "more": 1}, "a contract has the keys `contract` and `fields`, and no other"),
        ({"contract": 2, "fields": {}}, "the contract is of version 2, this pool-core reads 1"),
        ({"contract": 1, "fields": []}, "`fields` is a mapping of names to types"),
        ({"contract": 1, "fields": {"a": 1}}, "the type of 'a' must be text, as in `str?`"),
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
