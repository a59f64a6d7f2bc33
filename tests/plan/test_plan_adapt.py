"""Adapters: columns on the way in, fields on the way out, and renames that cannot be."""

from __future__ import annotations

from inspect import signature
from math import inf, isnan, nan
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, Field, RootModel

from pool_core.errors import ParseError, RecipeError, TemplateError
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.task import Task
from pool_core.interfaces.types import FieldType
from pool_core.interfaces.values import Cause, Prompt
from pool_core.plan.adapt import adapt_member
from pool_core.recipe.models import Member


class RatingOutput(BaseModel):
    score: int
    reason: str


class Rating(Task[PluginConfig]):
    """Two inputs, two fields."""

    Config: ClassVar = PluginConfig
    Output: ClassVar = RatingOutput

    inputs = ("question", "answer")

    def render(self, row):
        return Prompt.chat(f"{row['question']}|{row['answer']}")

    def parse(self, answer, row):
        return RatingOutput(score=1, reason="")


def adapt(**renames):
    member = Member(name="a", backend="any", task="rating", **renames)
    return adapt_member(member, Rating(PluginConfig()), None, ("pool", "members", 0))


def test_without_renames_the_row_is_passed_on_as_it_is():
    row = {"question": "q", "answer": "a", "other": 1}
    assert adapt().adapt_row(row) is row


def test_an_input_is_read_from_its_column_and_the_other_columns_stay():
    row = {"q": "why", "answer": "a", "question": "not this"}
    assert adapt(inputs={"question": "q"}).adapt_row(row) == {"q": "why", "answer": "a", "question": "why"}
    assert row["question"] == "not this"


def test_two_inputs_can_swap_their_columns():
    swapped = adapt(inputs={"question": "answer", "answer": "question"})
    assert swapped.adapt_row({"question": 1, "answer": 2}) == {"question": 2, "answer": 1}


def test_two_inputs_can_read_one_column():
    assert adapt(inputs={"answer": "question"}).adapt_row({"question": 1}) == {"question": 1, "answer": 1}


@pytest.mark.parametrize(("row", "has"), [({"question": "q"}, "question"), ({}, "none")])
def test_a_missing_column_is_named_with_those_there_are(row, has):
    with pytest.raises(TemplateError) as error:
        adapt(inputs={"question": "answer"}).adapt_row(row)
    assert str(error.value) == f"the row has no column 'answer'\n  it has: {has}"


def test_fields_keep_their_names_and_types_unless_renamed():
    adapter = adapt(outputs={"rating": "score"})
    assert dict(adapter.outputs) == {"reason": FieldType("str"), "rating": FieldType("int")}
    assert adapter.adapt_output({"score": 3, "reason": "ok"}) == {"reason": "ok", "rating": 3}


def test_two_fields_can_swap_their_names():
    swapped = adapt(outputs={"score": "reason", "reason": "score"})
    assert swapped.adapt_output({"score": 3, "reason": "ok"}) == {"score": "ok", "reason": 3}
    assert dict(swapped.outputs) == {"score": FieldType("str"), "reason": FieldType("int")}


def test_one_field_can_be_given_under_two_names():
    assert adapt(outputs={"x": "score", "y": "score"}).adapt_output({"score": 3, "reason": "r"}) == {
        "reason": "r",
        "x": 3,
        "y": 3,
    }


@pytest.mark.parametrize(
    ("renames", "text"),
    [
        (
            {"inputs": {"questoin": "q"}},
            "pool.members[0].inputs.questoin: the task 'rating' has no input 'questoin'\n  did you mean 'question'?",
        ),
        (
            {"inputs": {"x": "q"}},
            "pool.members[0].inputs.x: the task 'rating' has no input 'x'\n  it has: question, answer",
        ),
        (
            {"outputs": {"rating": "scores"}},
            "pool.members[0].outputs.rating: the task 'rating' has no field 'scores'\n  did you mean 'score'?",
        ),
        (
            {"outputs": {"rating": "x"}},
            "pool.members[0].outputs.rating: the task 'rating' has no field 'x'\n  it has: score, reason",
        ),
        (
            {"outputs": {"reason": "score"}},
            (
                "pool.members[0].outputs.reason: the field 'reason' is there already\n"
                "  rename the task's own 'reason' as well, as in `other: reason`"
            ),
        ),
    ],
)
def test_a_rename_that_cannot_be_is_refused_at_its_place(renames, text):
    with pytest.raises(RecipeError) as error:
        adapt(**renames)
    assert str(error.value) == text


def test_a_task_without_inputs_says_none():
    class Constant(Rating):
        inputs = ()

    member = Member(name="a", backend="any", task="constant", inputs={"x": "q"})
    with pytest.raises(RecipeError) as error:
        adapt_member(member, Constant(PluginConfig()), None, ("pool", "members", 0))
    assert error.value.hint == "it has: none"


def test_adapters_act_in_their_order():
    adapter = adapt(
        outputs={"rating": "score"}, drop=["reason"], cast={"rating": "str"}, collect=["rating"], constant={"by": "a"}
    )
    assert {name: str(type_) for name, type_ in adapter.outputs.items()} == {"rating": "list[str]", "by": "str"}
    assert adapter.adapt_output({"score": 3, "reason": "so"}) == {"rating": ["3"], "by": "a"}


def test_a_constant_may_be_null_and_may_replace_a_dropped_field():
    adapter = adapt(drop=["reason"], constant={"reason": None})
    assert str(adapter.outputs["reason"]) == "null"
    assert adapter.adapt_output({"score": 3, "reason": "so"}) == {"score": 3, "reason": None}


def test_a_value_that_cannot_be_cast_fails_its_cell():
    adapter = adapt(cast={"reason": "int"})
    with pytest.raises(ParseError) as caught:
        adapter.adapt_output({"score": 3, "reason": "so"})
    assert str(caught.value) == "the field 'reason' cannot be cast to int: could not convert string to float: 'so'"
    assert caught.value.cause is Cause.SCHEMA


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"drop": ["reasons"]}, "drop[0]: the task 'rating' has no field 'reasons'\n  did you mean 'reason'?"),
        (
            {"drop": ["reason"], "outputs": {"why": "reason"}},
            "outputs.why: the field 'reason' is dropped and renamed\n  do one of both",
        ),
        ({"cast": {"scores": "int"}}, "cast.scores: the pool gets no field 'scores'\n  did you mean 'score'?"),
        (
            {"cast": {"score": "number"}},
            (
                "cast.score: 'number' is no type; "
                "known are any, bool, float, int, null, str, list[...], map[...], {...}\n"
                "  a type is written as in `float`, `str?`, `list[str]`"
            ),
        ),
        (
            {"cast": {"score": "null"}},
            "cast.score: int cannot be cast to null\n  no value of the one is a value of the other",
        ),
        (
            {"cast": {"score": "list[int]"}},
            "cast.score: int cannot be cast to list[int]\n  no value of the one is a value of the other",
        ),
        ({"collect": ["x"]}, "collect[0]: the pool gets no field 'x'\n  it has: score, reason"),
        (
            {"constant": {"score": 1}},
            "constant.score: the field 'score' is there already\n  drop the task's own: `drop: [score]`",
        ),
    ],
)
def test_an_adapter_that_cannot_be_says_why(keys, text):
    with pytest.raises(RecipeError) as caught:
        adapt(**keys)
    assert str(caught.value) == f"pool.members[0].{text}"


def adapt_task(**attributes):
    task = type("Odd", (Rating,), attributes)(PluginConfig())
    return adapt_member(Member(name="a", backend="any", task="odd"), task, None, ("pool", "members", 0))


class Listed(RootModel[list[int]]):
    pass


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        (
            {"inputs": "question"},
            "its inputs are 'question' and not a tuple of names\n  a comma makes it one: ('question',)",
        ),
        ({"inputs": (1,)}, "its inputs are (1,) and not a tuple of names\n  report it to the task's authors"),
        ({"inputs": None}, "its inputs are None and not a tuple of names\n  report it to the task's authors"),
        (
            {"input_types": None},
            "its input types are None and not FieldType by name\n  report it to the task's authors",
        ),
        (
            {"input_types": {"question": "str"}},
            "its input types are {'question': 'str'} and not FieldType by name\n  report it to the task's authors",
        ),
        (
            {"input_paths": {"template": ["x"]}},
            "its input paths are {'template': ['x']} and not lists of InputPath\n  report it to the task's authors",
        ),
        (
            {"input_paths": ["ab"]},
            "its input paths are ['ab'] and not lists of InputPath\n  report it to the task's authors",
        ),
        (
            {"output": dict},
            (
                "its output is <class 'dict'> and not a model\n"
                "  it must be a class that derives from pydantic's BaseModel"
            ),
        ),
        (
            {"output": Listed},
            (
                "its output Listed is written as list[int], not as named fields\n  the pool needs its fields by name: "
                "declare them, and use computed fields in place of a model serializer"
            ),
        ),
    ],
)
def test_a_task_that_does_not_keep_to_its_interface_is_named(attributes, text):
    with pytest.raises(RecipeError) as caught:
        adapt_task(**attributes)
    assert str(caught.value) == f"pool.members[0].task: the task 'odd': {text}"


class Point(BaseModel):
    x: float
    note: str = ""


class Floats(BaseModel):
    score: float
    maybe: float | None = None
    many: list[float] = []
    points: dict[str, list[Point]] = {}
    anything: Any = None
    label: str = ""


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"score": nan}, "score"),
        ({"score": 1.0, "many": [0.5, -inf]}, "many[]"),
        ({"score": 1.0, "points": {"p": [Point(x=1), Point(x=inf)]}}, "points.p[].x"),
        ({"score": 1.0, "maybe": nan, "anything": [nan]}, None),
    ],
)
def test_a_number_that_json_does_not_have_fails_its_cell_where_null_is_no_value(values, path):
    adapter = adapt_task(Output=Floats)
    assert adapter.floats == ("score", "many", "points")
    output = Floats(**values).model_dump(mode="json", by_alias=False, warnings="error")
    if path is None:
        assert isnan(adapter.adapt_output(output)["maybe"])
        return
    with pytest.raises(ParseError) as caught:
        adapter.adapt_output(output)
    assert str(caught.value) == (
        f"the field {path!r} is no finite number, and JSON has no other\n"
        "  a field that may be null, as in `float | None`, is null then"
    )
    assert caught.value.cause is Cause.SCHEMA


@pytest.mark.skipif("exclude_if" not in signature(Field).parameters, reason="pydantic 2.12 brought exclude_if")
def test_a_field_that_is_left_out_is_null_and_one_that_is_missing_fails_the_cell():
    class Shy(BaseModel):
        score: int
        reason: str = Field("", exclude_if=lambda value: not value)

    adapter = adapt_task(Output=Shy)
    assert str(adapter.outputs["reason"]) == "str?"
    assert adapter.adapt_output({"score": 1}) == {"score": 1, "reason": None}
    with pytest.raises(ParseError) as caught:
        adapter.adapt_output({"reason": "x"})
    assert str(caught.value) == "the task gave no field 'score', which its output declares"
    assert caught.value.cause is Cause.SCHEMA
