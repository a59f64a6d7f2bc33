"""The task chat."""

from __future__ import annotations

from typing import Any

import pytest
from pool_standard.tasks.chat import Chat, ChatConfig
from pool_standard.tasks.text_generation import TextGeneration

from pool_core.errors import ParseError, TemplateError
from pool_core.interfaces.types import accepts
from pool_core.interfaces.values import Answer, Message
from pool_core.plan.rows import merge_columns

TALK = [
    {"role": "user", "content": "Hi {{ x }}"},
    {"role": "assistant", "content": "Hello", "score": 1},
    {"role": "user", "content": [{"type": "text", "text": "More"}]},
]


def make(**config: object) -> Chat:
    return Chat(ChatConfig(**config))


def test_it_sends_the_conversation_as_it_is() -> None:
    prompt = make().render({"messages": TALK, "other": object()})
    assert prompt.messages == (
        Message("user", "Hi {{ x }}"),
        Message("assistant", "Hello"),
        Message("user", [{"type": "text", "text": "More"}]),
    )


def test_the_inputs_are_the_column_and_those_of_the_system_prompt() -> None:
    assert make().inputs == ("messages",)
    assert make(column="talk", system_prompt="Be {{ tone }}").inputs == ("talk", "tone")


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        ([TALK, [{"role": "user", "content": "Hi"}]], True),
        ([TALK[:1], None], True),
        ([[]], True),
        ([[{"role": "user"}, "Hi"]], True),  # some may be: `render` looks at each
        (["Hi"], False),
        ([["Hi", "there"]], False),
        ([{"role": "user", "content": "Hi"}], False),
        ([7], False),
    ],
)
def test_the_column_has_to_be_a_list_of_objects(values: list[Any], fits: bool) -> None:
    (wanted,) = make(column="talk", system_prompt="{{ tone }}").input_types.items()
    assert wanted[0] == "talk"
    columns = merge_columns([{"talk": value} for value in values])
    assert accepts(wanted[1], columns["talk"]) is fits


@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_system_prompt_is_put_before_unless_there_is_one(role: str) -> None:
    task = make(system_prompt="Be {{ tone }}")
    first = task.render({"messages": TALK[:1], "tone": "brief"}).messages[0]
    assert first == Message("system", "Be brief")
    own = [{"role": role, "content": "Mine"}, *TALK]
    assert task.render({"messages": own, "tone": "brief"}).messages[0] == Message(role, "Mine")


def test_an_empty_system_prompt_is_no_message() -> None:
    assert len(make(system_prompt="").render({"messages": TALK}).messages) == len(TALK)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("Hi", "column 'messages': a conversation has to be a list, and this is of type str"),
        (None, "column 'messages': a conversation has to be a list, and this is null"),
        ({"role": "user"}, "column 'messages': a conversation has to be a list, and this is of type dict"),
        ([], "column 'messages': the conversation is empty"),
        (["Hi"], "column 'messages', turn 1: a turn has to be a mapping, and this is of type str"),
        ([*TALK, {"content": "x"}], "column 'messages', turn 4: the turn has no 'role'"),
        ([{"role": "user"}], "column 'messages', turn 1: the turn has no 'content'"),
        ([{"role": "assistant", "content": None}, *TALK], "column 'messages', turn 1: the turn has no 'content'"),
        ([{"role": "human", "content": "x"}], "column 'messages', turn 1: there is no role 'human'"),
        ([{"role": ["user"], "content": "x"}], "column 'messages', turn 1: there is no role 'list'"),
        (
            [{"role": "user", "content": 5}],
            "column 'messages', turn 1: the content has to be text or a list of parts, and this is of type int",
        ),
        (
            [{"role": "user", "content": ["x"]}],
            "column 'messages', turn 1: the content has to be text or a list of parts, and this is of type list",
        ),
        (
            TALK[:2],
            (
                "column 'messages': the conversation's last turn is the assistant's, so there is nothing to answer\n"
                "  Take the last turn away, for example into a column of its own."
            ),
        ),
    ],
)
def test_what_is_no_conversation_is_said(value: Any, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        make().render({"messages": value})
    assert str(caught.value).startswith(message)
    assert caught.value.hint


def test_a_missing_column_is_named() -> None:
    with pytest.raises(TemplateError, match=r"^column 'messages': the row has no such column\n  Name it with"):
        make().render({"conversation": TALK})


def test_the_text_is_taken_as_it_is() -> None:
    assert make().parse(Answer(" text\n"), {}).model_dump() == {"generation": " text\n"}
    with pytest.raises(ParseError, match="the answer has no text"):
        make().parse(Answer(None), {})


def test_it_is_no_kind_of_text_generation() -> None:
    assert not issubclass(Chat, TextGeneration)
    assert not make().accepts_truncated
    assert make(accept_truncated=True).accepts_truncated
