"""Structured output in a plan: who is told of a schema and how, in first requests and when asked again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pool_core.interfaces.structured import write_schema
from pool_core.interfaces.values import Answer, Capabilities, Cause, Message, Prompt
from pool_core.plan.cells import collect_sampling, compute_key, make_prompt
from pool_core.plan.reask import extend_prompt
from pool_core.recipe.models import Member
from pool_core.testing.scripted import EchoTask, ScriptedBackend

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
ROW = {"text": "hello", "prompt": "a sum"}
TOLD = write_schema(SCHEMA)


class Structured(EchoTask):
    """The echo, as a JSON object."""

    schema = SCHEMA

    def render(self, row):
        return replace(super().render(row), schema=self.schema)


class Constraining(ScriptedBackend):
    """A backend that constrains its answers."""

    @classmethod
    def capabilities(cls, config, inner):
        return Capabilities(schema=True)


@pytest.fixture
def make(plan):
    """Makes a plan of one member that wants structured output."""

    def make_one(backend, task=None, **keys):
        made = plan(Member(name="a", backend=backend, task=task or Structured(), **keys))
        return made, made.members[0]

    return make_one


def test_a_backend_that_constrains_gets_the_schema_alone(make):
    _, member = make(Constraining(str))
    assert make_prompt(member, ROW) == Prompt((Message("user", "hello"),), schema=SCHEMA)


def test_one_that_does_not_has_it_in_the_prompt(make):
    _, member = make(ScriptedBackend(str))
    assert make_prompt(member, ROW) == Prompt.chat(f"hello\n\n{TOLD}")


def test_a_prompt_format_writes_it_as_well(make):
    _, member = make({"use": "echo", "takes": "text"}, prompt_format="lines")
    prompt = make_prompt(member, ROW)
    assert prompt == Prompt(text=f"user: hello\n\n{TOLD}\nassistant:")


@pytest.mark.parametrize("backend", [Constraining(str), ScriptedBackend(str)])
def test_the_request_key_has_the_schema(make, backend):
    def compute(schema):
        task = Structured()
        task.schema = schema
        _, member = make(backend, task)
        body = backend.encode(make_prompt(member, ROW), collect_sampling(member, 0))
        return compute_key(backend.identity, body, 0)

    keys = {compute(schema) for schema in (SCHEMA, {**SCHEMA, "required": []}, {**SCHEMA, "title": "T"}, None)}
    assert len(keys) == 4


def test_asking_again_tells_a_model_the_schema_that_its_server_may_have_ignored(make):
    _, member = make(Constraining(str), reask={"times": 1})
    asked = extend_prompt(member, make_prompt(member, ROW), Answer("No."), Cause.PARSE, "the answer has no JSON object")
    assert asked.schema == SCHEMA
    assert asked.messages[-1] == Message(
        "user",
        "That answer cannot be read: the answer has no JSON object\n"
        f"Answer again, in the form that was asked for.\n{TOLD}",
    )


def test_asking_again_does_not_repeat_what_the_prompt_has(make):
    _, member = make(ScriptedBackend(str), reask={"times": 1})
    rendered = member.task.render(ROW)
    asked = extend_prompt(member, rendered, Answer("No."), Cause.PARSE, "no")
    assert asked.messages[-1].content.endswith("in the form that was asked for.")


def test_a_plan_says_where_the_schema_stands(make):
    plan, _ = make(ScriptedBackend(str))
    (finding,) = [one for one in plan.findings if one.rule == "schema-in-prompt"]
    assert finding.level == "info"
    assert finding.message == (
        "the task of a wants answers that satisfy a JSON Schema, and its backend ScriptedBackend constrains none: "
        "the schema stands in the prompt"
    )
    assert finding.hint == "an answer that does not satisfy it fails its cell, unless it is asked again"
    assert finding.fix == "reask: {times: 2}"
    again, _ = make(ScriptedBackend(str), reask={"times": 1})
    (finding,) = [one for one in again.findings if one.rule == "schema-in-prompt"]
    assert (finding.hint, finding.fix) == ("an answer that does not satisfy it fails its cell", "")
    constrained, _ = make(Constraining(str))
    assert not [one for one in constrained.findings if one.rule == "schema-in-prompt"]


def test_a_schema_that_cannot_be_written_is_a_finding_and_no_crash(make):
    task = Structured()
    task.schema = {"type": object()}
    plan, _ = make(ScriptedBackend(str), task)
    (finding,) = [one for one in plan.findings if one.rule == "render"]
    assert "the schema of the task Structured broke: TypeError" in finding.message


def test_what_a_task_rests_on_beside_the_recipe_is_in_both_fingerprints(plan, monkeypatch):
    def compute(content):
        monkeypatch.setattr(EchoTask, "fingerprint", content)
        parts = plan(Member(name="a", backend="echo", task="echo")).members[0].parts
        return parts.request.get("task's files"), parts.reading.get("task's files"), parts.reading_known

    plain, one, other, unknown = compute(""), compute("one"), compute("other"), compute(None)
    assert plain[:2] == unknown[:2] == (None, None)
    assert one[0] == one[1] != other[0] == other[1]
    assert unknown[2] is False
