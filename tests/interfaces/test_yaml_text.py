"""Fixes that YAML reads back as they were meant."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pool_core.interfaces.yaml_text import write_fix
from pool_core.recipe.yaml_source import read_yaml


@pytest.mark.parametrize(
    ("mapping", "line"),
    [
        ({}, "outputs: {}"),
        ({"generation": "code"}, "outputs: {generation: code}"),
        ({"b-1": "_x", "a": "yes"}, 'outputs: {a: "yes", b-1: _x}'),
        ({"a b": 'say "\\": {x}\n'}, 'outputs: {"a b": "say \\"\\\\\\": {x}\\U0000000a"}'),
    ],
)
def test_a_fix_is_one_line_of_yaml(mapping, line):
    assert write_fix("outputs", mapping) == line


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (["a", "b c"], 'drop: [a, "b c"]'),
        ({"x": [1, True, None, {"k": 0.5}], "a": 1e20}, "drop: {a: 1.0e+20, x: [1, true, null, {k: 0.5}]}"),
        ({"x": 1.25e-9}, "drop: {x: 1.25e-09}"),
    ],
)
def test_a_fix_holds_any_plain_value(value, line):
    assert write_fix("drop", value) == line
    assert yaml.safe_load(line) == {"drop": value} == read_yaml(line, Path("recipe.yaml"))[0]


@pytest.mark.parametrize("value", [object(), float("nan"), float("inf"), {1: "a"}])
def test_what_no_recipe_can_hold_is_refused(value):
    with pytest.raises(ValueError, match="cannot be written in a recipe"):
        write_fix("constant", {"x": [value]})


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(mapping=st.dictionaries(st.text(max_size=3), PLAIN, max_size=3))
def test_recipes_read_every_constant_back(mapping):
    line = write_fix("constant", mapping)
    assert repr(read_yaml(line, Path("recipe.yaml"))[0]["constant"]) == repr(dict(sorted(mapping.items())))


@given(
    mapping=st.dictionaries(
        st.text(st.characters() | st.characters(categories=("Cs", "Cc"))) | st.sampled_from(["yes", "NULL", "~", "1"]),
        st.text(),
    )
)
def test_yaml_reads_every_fix_back(mapping):
    line = write_fix("inputs", mapping)
    assert "\n" not in line
    assert yaml.safe_load(line) == {"inputs": mapping}
