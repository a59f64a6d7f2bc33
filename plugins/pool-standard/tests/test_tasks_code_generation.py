"""The task code-generation."""

from __future__ import annotations

import pytest
from pool_standard.tasks.code_generation import CodeGeneration, CodeGenerationConfig

from pool_core.errors import ParseError, TemplateError
from pool_core.interfaces.task import Task
from pool_core.interfaces.values import Answer, Message

ANSWER = "First:\n```sh\npip install x\n```\nThen:\n```py\na = 1\n```\n```python\nbbbb = 22\n```\n"


def make(**config: object) -> CodeGeneration:
    return CodeGeneration(CodeGenerationConfig(**config))


def test_the_language_is_offered_to_both_templates_and_is_no_input() -> None:
    task = make(language="rust", template="{{ language }}: {{ instruction }}")
    assert task.inputs == ("instruction",)
    prompt = task.render({"instruction": "sort {{ x }}", "language": "a column", "other": object()})
    assert prompt.messages == (
        Message(
            "system",
            "You write rust code. Answer with one fenced code block that holds the complete code, and nothing else.",
        ),
        Message("user", "rust: sort {{ x }}"),
    )


def test_the_system_prompt_can_be_left_out_or_use_columns() -> None:
    assert [m.role for m in make(system_prompt=None).render({"instruction": "x"}).messages] == ["user"]
    assert make(system_prompt="{{ style }} {{ language }}").inputs == ("instruction", "style")


@pytest.mark.parametrize(
    ("extract", "code"),
    [("first", "a = 1"), ("longest", "bbbb = 22"), ("all", "a = 1\n\nbbbb = 22"), ("none", ANSWER)],
)
def test_the_code_is_taken_out(extract: str, code: str) -> None:
    assert make(extract=extract).parse(Answer(ANSWER), {}).model_dump() == {"code": code}


def test_an_answer_without_a_block_is_code_as_a_whole_or_fails() -> None:
    assert make().parse(Answer(" x = 1\n"), {}).code == " x = 1\n"
    with pytest.raises(ParseError) as caught:
        make(without_block="fail").parse(Answer("x = 1"), {})
    assert str(caught.value) == (
        "the answer has no fenced code block\n  Ask for one in the system prompt, or set `without_block: whole`."
    )
    assert make(without_block="fail", extract="none").parse(Answer("x = 1"), {}).code == "x = 1"


def test_an_answer_without_text_cannot_be_parsed() -> None:
    with pytest.raises(ParseError, match="the answer has no text"):
        make().parse(Answer(None), {})


def test_it_stands_on_its_own() -> None:
    assert CodeGeneration.__mro__[1] is Task
    assert not make().accepts_truncated
    assert make(accept_truncated=True).accepts_truncated


def test_a_broken_template_is_found_when_the_task_is_made() -> None:
    with pytest.raises(TemplateError, match=r"^system_prompt, line 1: "):
        make(system_prompt="{{ a b }}")
    with pytest.raises(TemplateError, match=r"^template, line 1: "):
        make(template="{% macro m() %}{% endmacro %}")
