"""The task text-generation."""

from __future__ import annotations

import pytest
from pool_standard.tasks.text_generation import TextGeneration, TextGenerationConfig
from pydantic import ValidationError

from pool_core.errors import ParseError, TemplateError
from pool_core.interfaces.values import Answer, Cause, Message


def make(**config: object) -> TextGeneration:
    return TextGeneration(TextGenerationConfig(**config))


def test_it_asks_with_the_instruction() -> None:
    task = make()
    assert task.inputs == ("instruction",)
    prompt = task.render({"instruction": " Say {{ hi }}\n", "other": object()})
    assert prompt.messages == (Message("user", " Say {{ hi }}\n"),)


def test_both_templates_give_inputs() -> None:
    task = make(system_prompt="Be {{ tone }}. {{ b }}", template="{{ b }}{{ a }}")
    assert task.inputs == ("a", "b", "tone")
    prompt = task.render({"a": "A", "b": "B", "tone": "brief"})
    assert prompt.messages == (Message("system", "Be brief. B"), Message("user", "BA"))


def test_a_column_that_is_null_is_not_asked_with() -> None:
    with pytest.raises(TemplateError) as caught:
        make().render({"instruction": None})
    assert caught.value.message == "'instruction' is null"
    assert caught.value.where == "template, line 1"
    assert make(template="{{ instruction or '' }}").render({"instruction": None}).messages == (Message("user", ""),)


def test_a_column_with_a_default_is_no_input() -> None:
    task = make(template="{{ instruction }}{{ hint|default('') }}")
    assert task.inputs == ("instruction",)
    assert task.render({"instruction": "x"}).messages == (Message("user", "x"),)
    assert task.render({"instruction": "x", "hint": "y"}).messages == (Message("user", "xy"),)


@pytest.mark.parametrize("system_prompt", [None, "", "{{ s }}"])
def test_an_empty_system_prompt_is_no_message(system_prompt: str | None) -> None:
    prompt = make(system_prompt=system_prompt).render({"instruction": "x", "s": ""})
    assert [message.role for message in prompt.messages] == ["user"]


@pytest.mark.parametrize("text", ["", " text \n", "\x00\ud800", "```python\nx\n```"])
def test_the_text_is_taken_as_it_is(text: str) -> None:
    task = make()
    parsed = task.parse(Answer(text), {})
    assert parsed.model_dump() == {"generation": text}
    assert isinstance(parsed, task.output)


def test_an_answer_without_text_cannot_be_parsed() -> None:
    with pytest.raises(ParseError) as caught:
        make().parse(Answer(None), {})
    assert caught.value.cause is Cause.EMPTY
    assert str(caught.value) == (
        "the answer has no text\n  A model that calls tools, or only reasons before the token limit, gives none."
    )


def test_truncated_answers_are_accepted_on_request() -> None:
    assert not make().accepts_truncated
    assert make(accept_truncated=True).accepts_truncated


@pytest.mark.parametrize("field", ["system_prompt", "template"])
def test_a_broken_template_is_found_when_the_task_is_made(field: str) -> None:
    with pytest.raises(TemplateError, match=f"^{field}, line 2: "):
        make(**{field: "\n{% if %}"})


def test_a_missing_column_is_named() -> None:
    with pytest.raises(TemplateError, match=r"^template, line 1: 'instruction' is undefined"):
        make().render({"prompt": "x"})


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        TextGenerationConfig(prompt="x")
