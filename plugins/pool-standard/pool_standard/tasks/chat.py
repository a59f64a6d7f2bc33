"""The task ``chat``: a conversation that a column holds goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, Field

from pool_core.errors import TemplateError
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.paths import InputPath
from pool_core.interfaces.task import Task
from pool_core.interfaces.types import ANY, FieldType
from pool_core.interfaces.values import Answer, Message, Prompt, Row
from pool_standard.tasks.prompts import compile_system_prompt, list_names, list_paths, render_system_prompt, take_text

__all__ = ["Chat", "ChatConfig", "ChatOutput"]

_ROLES: Final = ("system", "developer", "user", "assistant", "tool")
_INSTRUCTING: Final = frozenset({"system", "developer"})
#: A list of objects, whatever they hold.
_CONVERSATION: Final = FieldType("list", items=FieldType("map", items=ANY))
_FORM: Final = 'A conversation is a list such as [{"role": "user", "content": "Hello"}].'


class ChatConfig(PluginConfig):
    """Where the conversation is, and what is put before it."""

    column: str = Field("messages", min_length=1, description="The column that holds the conversation.")
    system_prompt: str | None = Field(
        None,
        description="Template of a system message, over the row's columns. Put before conversations that have no "
        "system or developer turn. None, or empty text: no message.",
    )
    accept_truncated: bool = Field(False, description="Take answers that stop at the token limit.")


class ChatOutput(BaseModel):
    """What an answer becomes."""

    generation: str = Field(description="The answer's text, as it is: the conversation's next turn.")


class Chat(Task[ChatConfig]):
    """Asks with the whole conversation and takes the answer's text as it is.

    Of each turn, the role and the content are sent; other keys that datasets keep there are not.
    """

    Config = ChatConfig
    Output = ChatOutput

    def __init__(self, config: ChatConfig) -> None:
        super().__init__(config)
        self._system = compile_system_prompt(config.system_prompt)

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(sorted({self.config.column, *list_names(self._system)}))

    @property
    def input_types(self) -> Mapping[str, FieldType]:
        return {self.config.column: _CONVERSATION}

    @property
    def input_paths(self) -> Mapping[str, Sequence[InputPath]]:
        return list_paths(system_prompt=self._system)

    @property
    def accepts_truncated(self) -> bool:
        return self.config.accept_truncated

    def render(self, row: Row) -> Prompt:
        where = f"column {self.config.column!r}"
        if self.config.column not in row:
            raise TemplateError("the row has no such column", where=where, hint="Name it with `column:`.")
        turns = _read_turns(row[self.config.column], where)
        if self._system is not None and not any(turn.role in _INSTRUCTING for turn in turns):
            system = render_system_prompt(self._system, row)
            if system:
                turns = (Message("system", system), *turns)
        return Prompt(messages=turns)

    def parse(self, answer: Answer, row: Row) -> ChatOutput:
        return ChatOutput(generation=take_text(answer))


def _read_turns(value: Any, where: str) -> tuple[Message, ...]:
    if not isinstance(value, list | tuple):
        raise TemplateError(f"a conversation has to be a list, and this is {_name(value)}", where=where, hint=_FORM)
    if not value:
        raise TemplateError("the conversation is empty", where=where, hint=_FORM)
    turns = tuple(_read_turn(turn, f"{where}, turn {number}") for number, turn in enumerate(value, start=1))
    if turns[-1].role == "assistant":
        raise TemplateError(
            "the conversation's last turn is the assistant's, so there is nothing to answer",
            where=where,
            hint="Take the last turn away, for example into a column of its own.",
        )
    return turns


def _read_turn(turn: Any, where: str) -> Message:
    if not isinstance(turn, dict):
        raise TemplateError(f"a turn has to be a mapping, and this is {_name(turn)}", where=where, hint=_FORM)
    for key in ("role", "content"):
        if turn.get(key) is None:
            raise TemplateError(f"the turn has no {key!r}", where=where, hint=_FORM)
    role, content = turn["role"], turn["content"]
    if role not in _ROLES:
        raise TemplateError(f"there is no role {_clip(role)}", where=where, hint=f"The roles are: {', '.join(_ROLES)}.")
    is_parts = isinstance(content, list | tuple) and all(isinstance(part, dict) for part in content)
    if not isinstance(content, str) and not is_parts:
        raise TemplateError(
            f"the content has to be text or a list of parts, and this is {_name(content)}", where=where, hint=_FORM
        )
    return Message(role, content)


def _name(value: Any) -> str:
    return "null" if value is None else f"of type {type(value).__name__}"


def _clip(value: Any) -> str:
    return repr(value[:40] if isinstance(value, str) else type(value).__name__)
