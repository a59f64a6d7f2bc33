"""Asking again when an answer gives nothing: how often, and with which prompt."""

from __future__ import annotations

from dataclasses import replace

from pool_core.interfaces.structured import write_schema
from pool_core.interfaces.values import Answer, Cause, Message, Prompt
from pool_core.plan.model import PlannedMember

__all__ = ["count_reasks", "extend_prompt"]

#: How often an answer without content is asked again.
EMPTY_REASKS = 1


def count_reasks(member: PlannedMember, cause: Cause | None) -> int:
    """How many times a cell of ``member`` may be asked again after an answer that failed with ``cause``."""
    if cause is Cause.EMPTY:
        return EMPTY_REASKS
    if cause in (Cause.PARSE, Cause.SCHEMA) and member.reask is not None:
        return member.reask.times
    return 0


def extend_prompt(member: PlannedMember, prompt: Prompt, answer: Answer, cause: Cause | None, message: str) -> Prompt:
    """The prompt of the next request: the same, or with the answer and what was wrong with it.

    Args:
        prompt: what was asked, before a prompt format has made it text. A prompt that is text already stays as it is.
    """
    shown = member.reask is not None and member.reask.show_error and cause is not Cause.EMPTY
    if not shown or not prompt.messages or not answer.text:
        return prompt
    said = f"That answer cannot be read: {message}\nAnswer again, in the form that was asked for."
    if prompt.schema is not None and member.capabilities.schema:
        said += f"\n{write_schema(prompt.schema)}"  # the server was told of it alone, and may not have heeded it
    return replace(prompt, messages=(*prompt.messages, Message("assistant", answer.text), Message("user", said)))
