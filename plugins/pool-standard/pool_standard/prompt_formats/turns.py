"""Checking the messages that a prompt format writes."""

from __future__ import annotations

from collections.abc import Sequence

from pool_core.errors import TemplateError
from pool_core.interfaces.values import Message

_HINT = "Use a backend that takes chat messages, or the format `template`."


def read_turns(messages: Sequence[Message], roles: Sequence[str], where: str) -> list[tuple[str, str]]:
    """Give ``(role, text)`` of each message.

    Raises:
        TemplateError: there are no messages, a role that the format has no words for, or content that is no text.
    """
    if not messages:
        raise TemplateError("there are no messages to write", where=where)
    turns = []
    for number, message in enumerate(messages, start=1):
        place = f"{where}, message {number}"
        if roles and message.role not in roles:
            raise TemplateError(f"the format has no role {message.role[:40]!r}", where=place, hint=_HINT)
        if not isinstance(message.content, str):
            raise TemplateError(
                "the content is a list of parts, and a prompt format writes text only",
                where=place,
                hint="Use a backend that takes chat messages, or make the content text.",
            )
        turns.append((message.role, message.content))
    return turns


def split_system(turns: list[tuple[str, str]], where: str) -> tuple[str | None, list[tuple[str, str]]]:
    """Split off a first system turn, and check that user and assistant alternate from the user's to the user's.

    Raises:
        TemplateError: they do not.
    """
    system = turns[0][1] if turns[0][0] == "system" else None
    rest = turns if system is None else turns[1:]
    expected = ("user", "assistant")
    for number, (role, _) in enumerate(rest):
        if role != expected[number % 2]:
            raise TemplateError(
                f"after an optional system message, user and assistant have to alternate, and message "
                f"{number + 1 + len(turns) - len(rest)} is of the role {role!r}",
                where=where,
                hint=_HINT,
            )
    if len(rest) % 2 == 0:
        raise TemplateError("the last message has to be the user's", where=where, hint=_HINT)
    return system, rest
