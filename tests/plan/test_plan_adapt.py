"""Adapters: columns on the way in, fields on the way out, and renames that cannot be."""

from __future__ import annotations

from typing import ClassVar

import pytest
from pydantic import BaseModel

from pool_core.errors import RecipeError, TemplateError
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.task import Task
from pool_core.interfaces.types import FieldType
from pool_core.interfaces.values import Prompt
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
