"""The pure part of a cell: what is asked for a row, and what an answer gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from hashlib import blake2b
from typing import Any, Protocol, TypeVar

from pydantic_core import PydanticSerializationError

from pool_core.errors import ParseError, PoolError, TemplateError
from pool_core.interfaces.structured import describe_schema
from pool_core.interfaces.task import Task
from pool_core.interfaces.values import Answer, Cause, Outcome, Prompt, Row
from pool_core.plan.adapt import Adapter
from pool_core.plan.model import BackendPlan, PlannedMember
from pool_core.watchdog import CallStoppedError, Watchdog, describe_error

__all__ = [
    "TaskMember",
    "collect_sampling",
    "compute_key",
    "find_fault",
    "format_prompt",
    "make_prompt",
    "parse_answer",
    "read_answer",
    "render_guarded",
    "render_prompt",
]

T = TypeVar("T")


class TaskMember(Protocol):
    """What of a member renders rows and parses answers."""

    @property
    def task(self) -> Task[Any]:
        """Its task."""

    @property
    def task_name(self) -> str:
        """The task's qualified name."""

    @property
    def adapter(self) -> Adapter:
        """Its adapter."""


def make_prompt(member: PlannedMember, row: Row, watchdog: Watchdog | None = None) -> Prompt:
    """What ``member`` asks for ``row``, in the form that its backend takes.

    Args:
        watchdog: ends what takes more than the member's limits; without one, nothing does.

    Raises:
        TemplateError: the row yields no prompt, whatever the task or the format did.
    """
    return format_prompt(member, render_guarded(member, row, watchdog), watchdog)


def render_guarded(member: PlannedMember, row: Row, watchdog: Watchdog | None = None) -> Prompt:
    """What the task of ``member`` asks for ``row``, before a prompt format has made it text; see `make_prompt`."""
    return _guard(member, f"the task {member.task_name}", partial(render_prompt, member, row), watchdog)


def render_prompt(member: TaskMember, row: Row) -> Prompt:
    """What the task makes of ``row``. Raises `TemplateError` whatever the task did."""
    try:
        prompt = member.task.render(member.adapter.adapt_row(row))
    except (TemplateError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise TemplateError(f"the task {member.task_name} broke: {describe_error(error)}") from error
    if not isinstance(prompt, Prompt):
        raise TemplateError(f"the task {member.task_name} returned {type(prompt).__name__} instead of Prompt")
    return prompt


def format_prompt(member: PlannedMember, prompt: Prompt, watchdog: Watchdog | None = None) -> Prompt:
    """``prompt`` in the form that the member's backend takes. Raises `TemplateError` whatever the format did.

    A schema stands in its words where the backend constrains no answers, before a prompt format makes it text.
    """
    if prompt.schema is not None and not member.capabilities.schema:
        given = prompt
        prompt = _call(f"the schema of the task {member.task_name}", lambda: describe_schema(given))
    prompt_format = member.prompt_format
    if prompt_format is None or prompt.text is not None:
        return prompt
    label = f"the prompt format of {member.name}"
    text = _guard(member, label, partial(_call, label, prompt_format.format, prompt.messages), watchdog)
    if not isinstance(text, str):
        raise TemplateError(f"{label} returned {type(text).__name__} instead of text")
    return Prompt(text=text, schema=prompt.schema)


def _guard(member: PlannedMember, label: str, call: Callable[[], T], watchdog: Watchdog | None) -> T:
    if watchdog is None:
        return call()
    try:
        return watchdog.run(call, label, seconds=member.limits.task_timeout, memory=member.limits.task_memory)
    except CallStoppedError as error:
        raise TemplateError(f"{label} {error}") from None


def _call(label: str, call: Callable[..., Any], *arguments: Any) -> Any:
    """Call a plugin. Whatever it raises becomes a `TemplateError` that names it."""
    try:
        return call(*arguments)
    except (TemplateError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise TemplateError(f"{label} broke: {describe_error(error)}") from error


def collect_sampling(member: PlannedMember, sample: int) -> Mapping[str, Any]:
    """The sampling parameters of one sample: the member's, with a seed of its own where one is set."""
    if member.seed is None:
        return member.sampling
    return {**member.sampling, "seed": member.seed + sample}


def compute_key(identity: str, body: bytes, sample: int, ask: int = 0) -> bytes:
    """The request key: everything that is sent, where to, and which sample it is. 16 bytes.

    Args:
        ask: number of the re-ask, 0 for a cell's first request: what is asked again is paid again.
    """
    place = identity.encode("utf-8", "surrogatepass")
    number = b"%d+%d" % (sample, ask) if ask else b"%d" % sample
    return blake2b(b"%b\0%d\0%b%b" % (number, len(place), place, body), digest_size=16).digest()


def read_answer(member: PlannedMember, answer: Answer, row: Row, watchdog: Watchdog | None = None) -> Outcome:
    """What ``answer`` gives: the pool's fields, or why it gives none. Raises nothing but a person's interrupt.

    Args:
        watchdog: ends what takes more than the member's limits; without one, nothing does.
    """
    unusable = find_fault(member, answer)
    if unusable is not None or watchdog is None:
        return unusable or parse_answer(member, answer, row)
    label, limits = f"the task {member.task_name}", member.limits
    try:
        return watchdog.run(
            partial(parse_answer, member, answer, row), label, seconds=limits.task_timeout, memory=limits.task_memory
        )
    except CallStoppedError as error:
        return _fail(answer, Cause.PARSE, f"{label} {error}, reading the answer")


def parse_answer(member: TaskMember, answer: Answer, row: Row) -> Outcome:
    """What the task reads in an answer that is worth parsing, or why it reads nothing."""
    try:
        return _parse(member, answer, row)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a broken parser costs its cell, never the run
        return _fail(answer, Cause.PARSE, f"the task {member.task_name} broke: {describe_error(error)}")


def _parse(member: TaskMember, answer: Answer, row: Row) -> Outcome:
    label = f"the task {member.task_name}"
    try:
        output = member.task.parse(answer, member.adapter.adapt_row(row))
        declared = member.task.output
        if not isinstance(output, declared):
            returned = type(output).__name__
            return _fail(answer, Cause.SCHEMA, f"{label} returned {returned}, declared is {declared.__name__}")
        # pydantic's look at the types costs as much as all else, and lets other threads in
        held = vars(output)
        types = dict(zip(held, map(type, held.values()), strict=True))
        exact = type(output) is declared and types == member.adapter.exact_types
        values = output.model_dump(mode="json", by_alias=False, warnings=True if exact else "error")
        return Outcome("ok", outputs=member.adapter.adapt_output(values), answer=answer)
    except PydanticSerializationError as error:
        return _fail(answer, Cause.SCHEMA, f"{label} returned what its output does not declare: {error}")
    except ParseError as error:
        return _fail(answer, error.cause, str(error))
    except PoolError as error:
        return _fail(answer, Cause.PARSE, str(error))


def find_fault(member: PlannedMember, answer: Answer) -> Outcome | None:
    """Why ``answer`` is not worth parsing, None if it is."""
    if answer.finish_reason == "content_filter":
        return _fail(answer, Cause.CONTENT_FILTER, "the provider withheld the answer")
    if answer.refusal and not answer.text:
        return _fail(answer, Cause.REFUSAL, f"the model declined: {answer.refusal}")
    if answer.finish_reason == "length" and not member.task.accepts_truncated:
        return _fail(
            answer, Cause.TRUNCATED, "the answer stops at the token limit; raise `sampling: {max_tokens: ...}`"
        )
    if not answer.text and not answer.tool_calls:
        return _fail(answer, Cause.EMPTY, "the answer has no content")
    if not answer.text and not ("tools" in member.sampling or _offers_tools(member.backend)):
        return _fail(answer, Cause.PARSE, "the answer is a call of a tool, and no tools were offered")
    return None


def _offers_tools(backend: BackendPlan) -> bool:
    """Whether the configuration of ``backend``, or of one that it wraps, sends tools with every request."""
    config = backend.config if backend.instance is None else backend.instance.config
    extra = getattr(config, "extra", None)
    return (isinstance(extra, Mapping) and "tools" in extra) or any(map(_offers_tools, backend.inner.values()))


def _fail(answer: Answer, cause: Cause, message: str) -> Outcome:
    return Outcome("failed", cause, message, answer=answer)
