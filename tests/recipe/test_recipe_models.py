"""What may stand in a recipe, from a file and from Python alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from pool_core.recipe.models import (
    Budget,
    Limits,
    Member,
    Output,
    Plugins,
    PoolSpec,
    Reask,
    Recipe,
    Rows,
    Sampling,
    StopWhen,
)
from pool_core.recipe.uses import Use

MEMBER = {"name": "a", "backend": "fixed", "task": "echo"}


def read_refusal(call, **values):
    with pytest.raises(ValidationError) as caught:
        call(**values)
    [error] = caught.value.errors(include_url=False)
    return (".".join(map(str, error["loc"])), error["type"])


def test_the_defaults_of_a_pool():
    pool = PoolSpec(members=[Member(**MEMBER)])
    assert [policy.use for policy in pool.policies] == ["output-schema", "inputs"]
    assert (pool.samples, pool.assign, pool.seed) == (None, "all", 0)
    recipe = Recipe(pool=pool)
    assert (recipe.rows, recipe.output, recipe.plugins) == (None, None, Plugins())


def test_a_path_alone_stands_for_rows_and_output():
    recipe = Recipe(rows="r.jsonl", output=Path("o.csv"), pool={"members": [MEMBER]})
    assert (recipe.rows, recipe.output) == (Rows(path="r.jsonl"), Output(path="o.csv"))
    assert (recipe.rows.reader, recipe.rows.id, recipe.output.layout, recipe.output.raw) == (
        None,
        None,
        "nested",
        False,
    )


def test_further_keys_of_rows_and_output_configure_reader_and_writer():
    assert Rows(path="r.csv", delimiter=";").model_extra == {"delimiter": ";"}
    assert Output(path="o.csv", delimiter=";").model_extra == {"delimiter": ";"}


def test_only_what_was_set_is_sent():
    assert Sampling().collect() == {}
    sampling = Sampling(temperature=0, stop=[], seed=0, extra={"best_of": 2, "temperature": 1})
    assert sampling.collect() == {"temperature": 1, "stop": [], "seed": 0, "best_of": 2}


@pytest.mark.parametrize("name", ["a", "A-1", "7b", "notus.v1_x", "a" * 64])
def test_names_of_members(name):
    assert Member(**MEMBER | {"name": name}).name == name


@pytest.mark.parametrize("name", ["", "-a", ".a", "a b", "a/b", "a\n", "naïve", "a" * 65])
def test_names_that_would_not_do_in_files_and_reports(name):
    assert read_refusal(Member, **MEMBER | {"name": name}) == ("name", "string_pattern_mismatch")


def test_a_pool_needs_members_with_names_of_their_own():
    with pytest.raises(ValidationError, match="a pool needs at least one member"):
        PoolSpec(members=[])
    with pytest.raises(ValidationError, match="two members are named 'a', 'b'; give each member a name of its own"):
        PoolSpec(members=[MEMBER | {"name": name} for name in "bacab"])


@pytest.mark.parametrize(
    ("model", "values", "error"),
    [
        (Sampling, {"temperature": -1}, "greater_than_equal"),
        (Sampling, {"top_p": 0}, "greater_than"),
        (Sampling, {"top_p": 1.1}, "less_than_equal"),
        (Sampling, {"top_k": 0}, "greater_than_equal"),
        (Sampling, {"max_tokens": 0}, "greater_than_equal"),
        (Sampling, {"min_p": 2}, "less_than_equal"),
        (Sampling, {"presence_penalty": 3}, "less_than_equal"),
        (Sampling, {"tempereture": 1}, "extra_forbidden"),
        (Limits, {"concurrency": 0}, "value_error"),
        (Limits, {"concurrency": 10_001}, "value_error"),
        (Limits, {"concurrency": True}, "value_error"),
        (Limits, {"concurrency": "many"}, "value_error"),
        (StopWhen, {}, "value_error"),
        (StopWhen, {"share": 1.1}, "less_than_equal"),
        (Budget, {"max_cost": 0}, "greater_than"),
        (Reask, {"times": 0}, "greater_than_equal"),
        (Limits, {"timeout": 0}, "greater_than"),
        (Limits, {"attempts": 0}, "greater_than_equal"),
        (Limits, {"max_wait": -1}, "greater_than_equal"),
        (Member, MEMBER | {"weight": 0}, "greater_than"),
        (PoolSpec, {"members": [MEMBER], "samples": 0}, "greater_than_equal"),
        (Output, {"path": "x", "layout": "wide"}, "literal_error"),
    ],
)
def test_values_out_of_range_are_refused(model, values, error):
    assert read_refusal(model, **values)[1] == error


@pytest.mark.parametrize("value", [float("inf"), float("nan"), "inf", "nan"])
@pytest.mark.parametrize(
    ("model", "field"),
    [(Sampling, "temperature"), (Limits, "timeout"), (Limits, "max_wait"), (Member, "weight")],
)
def test_numbers_are_finite(model, field, value):
    values = MEMBER if model is Member else {}
    assert read_refusal(model, **values | {field: value}) == (field, "finite_number")


@pytest.mark.parametrize(
    "value", [Recipe(pool={"members": [MEMBER]}), Member(**MEMBER), Use(use="x"), Rows(path="x"), Sampling()]
)
def test_everything_is_frozen(value):
    name = next(iter(type(value).model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(value, name, None)


def test_a_pool_has_a_bounded_number_of_members():
    members = [{"name": f"m{number}", "backend": "x", "task": "y"} for number in range(1001)]
    with pytest.raises(ValidationError, match="a pool has at most 1,000 members, this one 1,001"):
        PoolSpec.model_validate({"members": members})
