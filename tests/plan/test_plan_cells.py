"""The pure part of a cell: the prompt, the request key, and what each kind of answer gives."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from pool_core.errors import BackendError, ParseError, TemplateError
from pool_core.interfaces.values import Answer, Cause, Prompt
from pool_core.plan.cells import collect_sampling, compute_key, make_prompt, read_answer
from pool_core.recipe.models import Member
from pool_core.testing.scripted import CodeTask, EchoTask, ScriptedBackend

ROW = {"text": "hello", "prompt": "a sum"}


@pytest.fixture
def member(plan):
    """Makes a planned member."""

    def make(task="echo", **keys):
        return plan(Member(name="a", **{"backend": "echo", "task": task, **keys})).members[0]

    return make


def make_parser(parse):
    """A task that reads answers with ``parse``."""

    class Parsing(EchoTask):
        def parse(self, answer, row):
            return parse(answer, row)

    return Parsing()


def raise_(error):
    raise error


# Prompts


def test_a_prompt_is_made_of_the_adapted_row(member):
    assert make_prompt(member(inputs={"text": "prompt"}), ROW) == Prompt.chat("a sum")


def test_a_format_writes_messages_and_leaves_ready_texts_alone(member):
    class Ready(EchoTask):
        def render(self, row):
            return Prompt(text="ready")

    text = {"use": "echo", "takes": "text"}
    assert make_prompt(member(backend=text, prompt_format="lines"), ROW) == Prompt(text="user: hello\nassistant:")
    assert make_prompt(member(Ready(), backend=text, prompt_format="lines"), ROW) == Prompt(text="ready")


def test_the_schema_of_a_prompt_survives_the_format(member):
    class Structured(EchoTask):
        def render(self, row):
            return Prompt(Prompt.chat("x").messages, schema={"type": "object"})

    planned = member(Structured(), backend={"use": "echo", "takes": "text"}, prompt_format="lines")
    constraining = replace(planned, capabilities=replace(planned.capabilities, schema=True))
    assert make_prompt(constraining, ROW) == Prompt(text="user: x\nassistant:", schema={"type": "object"})


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (KeyError("x"), "KeyError: 'x'"),
        (SystemExit(3), "SystemExit: 3"),
        (RecursionError("deep"), "RecursionError: deep"),
        (BackendError(Cause.SERVER, "not mine"), "BackendError: not mine"),
    ],
)
def test_a_task_that_breaks_gives_no_prompt(member, error, says):
    class Broken(EchoTask):
        def render(self, row):
            raise error

    planned = member(Broken())
    with pytest.raises(TemplateError) as caught:
        make_prompt(planned, ROW)
    assert str(caught.value) == f"the task Broken broke: {says}"


def test_a_task_says_itself_why_it_makes_no_prompt(member):
    with pytest.raises(TemplateError) as caught:
        make_prompt(member(), {"text": None})
    assert str(caught.value) == "the column 'text' must hold text, not NoneType"


def test_an_interrupt_is_no_fault_of_a_task(member):
    class Slow(EchoTask):
        def render(self, row):
            if row["text"] == "stop":
                raise KeyboardInterrupt
            return super().render(row)

    with pytest.raises(KeyboardInterrupt):
        make_prompt(member(Slow()), {"text": "stop"})


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda messages: raise_(ZeroDivisionError("zero")), "broke: ZeroDivisionError: zero"),
        (lambda messages: None, "returned NoneType instead of text"),
        (lambda messages: [1, 2], "returned list instead of text"),
    ],
)
def test_a_format_that_breaks_gives_no_prompt(member, function, says):
    planned = member(backend={"use": "echo", "takes": "text"}, prompt_format=function)
    with pytest.raises(TemplateError) as caught:
        make_prompt(planned, ROW)
    assert str(caught.value) == f"the prompt format of a {says}"


@pytest.mark.parametrize("value", [None, "text", Answer("x")])
def test_a_task_that_returns_no_prompt_gives_none(member, value):
    class Odd(EchoTask):
        def render(self, row):
            return value

    with pytest.raises(TemplateError) as caught:
        make_prompt(member(Odd()), ROW)
    assert str(caught.value) == f"the task Odd returned {type(value).__name__} instead of Prompt"


# Sampling and request keys


def test_each_sample_has_a_seed_of_its_own(member):
    planned = member(sampling={"temperature": 0.5, "seed": 40})
    assert [collect_sampling(planned, sample) for sample in (0, 2)] == [
        {"temperature": 0.5, "seed": 40},
        {"temperature": 0.5, "seed": 42},
    ]
    assert planned.sampling == {"temperature": 0.5}


def test_without_a_seed_none_is_sent(member):
    planned = member(sampling={"temperature": 0.5})
    assert collect_sampling(planned, 3) == {"temperature": 0.5}


parts = st.tuples(st.text(), st.binary(), st.integers(0, 254))


@given(parts, parts)
def test_a_key_changes_with_identity_body_and_sample_and_nothing_else(one, other):
    assert (compute_key(*one) == compute_key(*other)) == (one == other)


@given(parts, st.text(alphabet="\0019", min_size=1), st.binary())
def test_what_stands_in_one_part_cannot_pass_for_another(one, text, body):
    identity, content, sample = one
    moved = (identity + text, body, sample)
    assume(moved != (identity, text.encode() + body, sample))
    assert compute_key(*moved) != compute_key(identity, text.encode() + body, sample)
    assert compute_key(*one) == compute_key(identity, content, sample)


def test_an_identity_cannot_hold_a_sample_of_its_own():
    assert compute_key("a", b"2\0x", 1) != compute_key("a\0001", b"x", 2)


def test_keys_have_16_bytes():
    assert len(compute_key("\ud83d", b"", 0)) == 16


# Answers


def test_an_answer_gives_the_fields_of_the_pool(member):
    answer = Answer("yes", "stop")
    outcome = read_answer(member(outputs={"reply": "said"}), answer, ROW)
    assert (outcome.status, outcome.outputs, outcome.cause, outcome.message) == ("ok", {"reply": "yes"}, None, "")
    assert outcome.answer is answer


def test_a_parser_sees_the_adapted_row(member):
    seen = []

    def parse(answer, row):
        seen.append(row["text"])
        return EchoTask.Output(said="x")

    read_answer(member(make_parser(parse), inputs={"text": "prompt"}), Answer("x"), ROW)
    assert seen == ["a sum"]


@pytest.mark.parametrize(
    ("answer", "cause", "message"),
    [
        (Answer("half", "content_filter"), Cause.CONTENT_FILTER, "the provider withheld the answer"),
        (Answer(None, "content_filter", refusal="no"), Cause.CONTENT_FILTER, "the provider withheld the answer"),
        (Answer(None, "stop", refusal="I must not."), Cause.REFUSAL, "the model declined: I must not."),
        (Answer("", "length", refusal="I must"), Cause.REFUSAL, "the model declined: I must"),
        (
            Answer("half", "length"),
            Cause.TRUNCATED,
            "the answer stops at the token limit; raise `sampling: {max_tokens: ...}`",
        ),
        (
            Answer("", "length"),
            Cause.TRUNCATED,
            "the answer stops at the token limit; raise `sampling: {max_tokens: ...}`",
        ),
        (Answer("", "stop"), Cause.EMPTY, "the answer has no content"),
        (Answer(None), Cause.EMPTY, "the answer has no content"),
        (Answer(None, "tool_calls", tool_calls=[]), Cause.EMPTY, "the answer has no content"),
        (
            Answer(None, "tool_calls", tool_calls=[{"name": "f"}]),
            Cause.PARSE,
            "the answer is a call of a tool, and no tools were offered",
        ),
    ],
)
def test_an_answer_that_is_not_worth_parsing(member, answer, cause, message):
    planned = member(make_parser(lambda answer, row: pytest.fail("parsed")))
    outcome = read_answer(planned, answer, ROW)
    assert (outcome.status, outcome.cause, outcome.message) == ("failed", cause, message)
    assert outcome.outputs is None
    assert outcome.answer is answer


@pytest.mark.parametrize(
    "answer",
    [
        Answer("yes", None),
        Answer("yes", "stop", refusal="but I would rather not"),
        Answer("yes", "tool_calls", tool_calls=[{"name": "f"}]),
        Answer(" ", "stop"),
    ],
)
def test_an_answer_that_is_parsed(member, answer):
    assert read_answer(member(), answer, ROW).outputs == {"said": answer.text or ""}


TOOLS = {"tools": [{"type": "function", "function": {"name": "f"}}]}


class Tooled(ScriptedBackend):
    """A backend whose configuration offers tools with every request."""

    def __init__(self, extra):
        super().__init__(lambda request: "yes")
        self.config = SimpleNamespace(model="m", extra=extra)


@pytest.mark.parametrize(
    "keys",
    [
        {"sampling": {"extra": TOOLS}},
        {"backend": Tooled(TOOLS)},
    ],
    ids=["sampling", "backend"],
)
def test_a_call_of_a_tool_is_parsed_where_tools_are_offered(member, keys):
    answer = Answer(None, "tool_calls", tool_calls=[{"name": "f"}])
    assert read_answer(member(**keys), answer, ROW).outputs == {"said": ""}


@pytest.mark.parametrize("extra", [{}, None, {"top_k": 1}])
def test_a_call_of_a_tool_is_not_parsed_where_only_other_things_are_sent(member, extra):
    answer = Answer(None, "tool_calls", tool_calls=[{"name": "f"}])
    assert read_answer(member(backend=Tooled(extra)), answer, ROW).cause is Cause.PARSE


def test_a_backend_that_wraps_one_with_tools_offers_them(member):
    planned = member()
    wrapper = replace(planned.backend, inner={"backend": member(backend=Tooled(TOOLS)).backend})
    answer = Answer(None, "tool_calls", tool_calls=[{"name": "f"}])
    assert read_answer(replace(planned, backend=wrapper), answer, ROW).outputs == {"said": ""}


def test_a_task_can_accept_what_was_cut_off(member):
    class Patient(EchoTask):
        accepts_truncated = True

    planned = member(Patient())
    assert read_answer(planned, Answer("half", "length"), ROW).outputs == {"said": "half"}
    assert read_answer(planned, Answer("", "length"), ROW).cause is Cause.EMPTY


@pytest.mark.parametrize(
    ("error", "cause", "message"),
    [
        (ParseError("no number", hint="ask for one"), Cause.PARSE, "no number\n  ask for one"),
        (ParseError("no number", cause=Cause.REFUSAL), Cause.REFUSAL, "no number"),
        (TemplateError("not here"), Cause.PARSE, "not here"),
        (ValueError("bad"), Cause.PARSE, "the task Parsing broke: ValueError: bad"),
        (SystemExit(1), Cause.PARSE, "the task Parsing broke: SystemExit: 1"),
        (RecursionError("deep"), Cause.PARSE, "the task Parsing broke: RecursionError: deep"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_parser_that_raises_costs_its_cell(member, error, cause, message):
    outcome = read_answer(member(make_parser(lambda answer, row: raise_(error))), Answer("x"), ROW)
    assert (outcome.status, outcome.cause, outcome.message) == ("failed", cause, message)
    assert outcome.answer == Answer("x")


def test_a_column_that_only_a_later_row_lacks_costs_its_cell(member):
    outcome = read_answer(member(inputs={"text": "prompt"}), Answer("x"), {"text": "t"})
    assert (outcome.cause, outcome.message) == (Cause.PARSE, "the row has no column 'prompt'\n  it has: text")


def test_an_interrupt_is_no_fault_of_a_parser(member):
    planned = member(make_parser(lambda answer, row: raise_(KeyboardInterrupt())))
    with pytest.raises(KeyboardInterrupt):
        read_answer(planned, Answer("x"), ROW)


@pytest.mark.parametrize("value", [None, "text", {"said": "x"}, CodeTask.Output(code="x")])
def test_an_output_of_another_class_is_refused(member, value):
    outcome = read_answer(member(make_parser(lambda answer, row: value)), Answer("x"), ROW)
    assert (outcome.status, outcome.cause) == ("failed", Cause.SCHEMA)
    assert outcome.message == f"the task Parsing returned {type(value).__name__}, declared is EchoOutput"


class LoudOutput(EchoTask.Output):
    """An output with more than is declared."""

    louder: int = 1


class Text(str):
    """Text that is written otherwise than it is."""

    __slots__ = ()

    def __str__(self):
        return "another"


@pytest.mark.parametrize(
    "output",
    [
        EchoTask.Output.model_construct(said=True),
        EchoTask.Output.model_construct(),
        EchoTask.Output.model_construct(other="x"),
        LoudOutput.model_construct(said=5, louder="x"),
        LoudOutput.model_construct(said="x", louder="x"),
    ],
)
def test_no_output_that_was_not_validated_gets_through(member, output):
    outcome = read_answer(member(make_parser(lambda answer, row: output)), Answer("x"), ROW)
    assert (outcome.status, outcome.cause) == ("failed", Cause.SCHEMA)


def test_values_are_held_against_the_types_of_their_own_fields(member):
    class Output(BaseModel):
        said: str
        times: int

    class Swapping(EchoTask):
        output = Output

        def parse(self, answer, row):
            swapped = Output.model_construct(times="x")
            swapped.said = 5  # which stands behind ``times`` now: the types come in the order of the declared ones
            return swapped

    outcome = read_answer(member(Swapping()), Answer("x"), ROW)
    assert (outcome.status, outcome.cause) == ("failed", Cause.SCHEMA)
    assert "Expected `int`" in outcome.message


@pytest.mark.parametrize("output", [EchoTask.Output(said="x"), EchoTask.Output.model_construct(said=Text("x"))])
def test_an_output_as_declared_is_taken(member, output):
    outcome = read_answer(member(make_parser(lambda answer, row: output)), Answer("x"), ROW)
    assert (outcome.status, outcome.outputs) == ("ok", {"said": "x"})


def test_an_output_with_values_of_another_type_is_refused(member):
    planned = member(make_parser(lambda answer, row: EchoTask.Output.model_construct(said=5)))
    outcome = read_answer(planned, Answer("x"), ROW)
    assert (outcome.status, outcome.cause) == ("failed", Cause.SCHEMA)
    assert outcome.message.startswith("the task Parsing returned what its output does not declare: ")


def test_an_output_of_a_derived_class_gives_the_declared_fields(member):
    class More(EchoTask.Output):
        more: int = 1

    planned = member(make_parser(lambda answer, row: More(said="x")))
    assert read_answer(planned, Answer("x"), ROW).outputs == {"said": "x"}


def test_aliases_of_an_output_are_not_its_fields(member):
    class Aliased(BaseModel):
        model_config = ConfigDict(serialize_by_alias=True)
        said: str = Field(serialization_alias="Said")

    class Polite(EchoTask):
        Output: ClassVar = Aliased

        def parse(self, answer, row):
            return Aliased(said=answer.text)

    assert read_answer(member(Polite()), Answer("x"), ROW).outputs == {"said": "x"}


def test_half_an_emoji_does_not_cost_its_cell(member):
    assert read_answer(member(), Answer("\ud83d"), ROW).outputs == {"said": "\ud83d"}
