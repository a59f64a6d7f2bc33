"""What an author declares: what the plugin supports, and examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pool_core.interfaces.values import Answer, Cause, Message, Prompt, Row

__all__ = ["Failure", "FormatExample", "ReaderExample", "Supports", "TaskExample"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Supports:
    """What a plugin supports. None is no answer: a kit fails where it asks and nobody has looked.

    What is declared True needs evidence and what is declared False must not be there.
    """

    #: Task: some answers that have a text cannot be read.
    unreadable: bool | None = None
    #: Task: with some configuration it reads answers that stop at the token limit.
    truncated: bool | None = None
    #: Task: its prompts ask for an answer of a JSON Schema. Backend: it constrains answers to one.
    #: Reader: the file itself declares its columns.
    schema: bool | None = None
    #: Backend: it talks to a server over HTTP, whose address it is given.
    http: bool | None = None
    #: Backend: it honours ``seed``.
    seed: bool | None = None
    #: Backend: it honours ``stop``. Prompt format: it names strings that end the model's turn.
    stop: bool | None = None
    #: Backend: its answers say how many tokens they took.
    usage: bool | None = None
    #: Backend: it sends a key.
    key: bool | None = None
    #: Backend: it derives from `BatchBackend` and answers several requests at a time.
    batches: bool | None = None
    #: Policy: some of its findings have lines to paste.
    fixes: bool | None = None
    #: Writer: values come back as what they were; if not, as text.
    types: bool | None = None


@dataclass(frozen=True, slots=True)
class TaskExample:
    """A row, an answer to it, and what the task reads in it."""

    row: Row
    answer: str | Answer
    #: The output fields; None where the answer cannot be read.
    output: Mapping[str, Any] | None
    #: More configuration than that of the class, or another one.
    config: Mapping[str, Any] = field(default_factory=dict)

    def make_answer(self) -> Answer:
        """The answer, whole."""
        return Answer(self.answer, "stop") if isinstance(self.answer, str) else self.answer


@dataclass(frozen=True, slots=True)
class Failure:
    """A call of a backend in the process that has to fail: how it is brought about, and the cause."""

    #: More configuration than that of the class, or another one.
    config: Mapping[str, Any]
    cause: Cause
    #: None stands for the first of the class.
    prompt: Prompt | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    #: Time limit of the call in seconds.
    timeout: float = 20.0
    stops_member: bool = False
    maybe_billed: bool = False


@dataclass(frozen=True, slots=True)
class FormatExample:
    """Messages, each as its role and its content, and the text that a prompt format makes of them."""

    messages: Sequence[tuple[str, str]]
    #: None where they cannot be written.
    text: str | None
    #: More configuration than that of the class, or another one.
    config: Mapping[str, Any] = field(default_factory=dict)

    def make_messages(self) -> tuple[Message, ...]:
        """The messages, as a prompt has them."""
        return tuple(Message(role, content) for role, content in self.messages)


@dataclass(frozen=True, slots=True)
class ReaderExample:
    """The bytes of a file, and the rows in it."""

    content: bytes
    #: None where the file cannot be read.
    rows: Sequence[Row] | None
    #: Where a person finds what is wrong, such as ``line 2``.
    place: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
