"""The values that travel between tasks, backends, policies and the engine.

Frozen, slotted, standard library only. Times are in seconds, sizes in tokens unless said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypeAlias

__all__ = [
    "Answer",
    "Capabilities",
    "Cause",
    "Finding",
    "Level",
    "Message",
    "Offer",
    "Outcome",
    "Prompt",
    "Request",
    "Row",
    "Status",
    "Usage",
]

#: One input record: column name to a plain JSON value.
Row: TypeAlias = Mapping[str, Any]

#: How a cell stands. ``pending`` is a cell that no run has finished yet.
Status: TypeAlias = Literal["ok", "failed", "pending"]


class Cause(StrEnum):
    """Why a cell failed. The cause alone decides what happens next; nobody reads a message's text."""

    TRANSPORT = "transport"  #: no connection, or it broke
    TIMEOUT = "timeout"  #: no answer within the time limit
    RATE_LIMIT = "rate_limit"  #: the server asks to come back later
    OVERLOADED = "overloaded"  #: the server has no capacity at the moment
    SERVER = "server"  #: the server failed
    BAD_REPLY = "bad_reply"  #: the reply cannot be read
    AUTH = "auth"  #: the key is missing, wrong or not allowed
    QUOTA_EXHAUSTED = "quota_exhausted"  #: the account has no credit left
    BAD_REQUEST = "bad_request"  #: the server will never accept this request
    CONTEXT_LENGTH = "context_length"  #: the prompt does not fit the model
    CONTENT_FILTER = "content_filter"  #: the provider withheld the answer
    REFUSAL = "refusal"  #: the model declined to answer
    TRUNCATED = "truncated"  #: the answer stops at the token limit
    EMPTY = "empty"  #: an answer without content
    PARSE = "parse"  #: the task could not read the answer
    SCHEMA = "schema"  #: what the task read does not match its declared output
    RENDER = "render"  #: the task could not make a prompt of this row
    PLUGIN = "plugin"  #: a plugin broke its contract
    BUDGET = "budget"  #: a limit of the run was reached
    CANCELLED = "cancelled"  #: the run was stopped


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat. ``content`` is text, or a list of parts as the chat APIs define them."""

    role: str
    content: str | Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a task asks a model: chat messages, or one ready text for text-completion models.

    Exactly one of ``messages`` and ``text`` is given.
    """

    messages: tuple[Message, ...] = ()
    text: str | None = None
    #: JSON Schema that the answer should satisfy, where the task wants structured output.
    schema: Mapping[str, Any] | None = None

    @classmethod
    def chat(cls, user: str, system: str | None = None) -> Prompt:
        """A prompt of one user message, after a system message where one is given."""
        turns = (Message("user", user),)
        return cls((Message("system", system), *turns) if system else turns)


@dataclass(frozen=True, slots=True)
class Request:
    """One call to a backend."""

    #: Identifies the call within the run; results of batches are joined by it.
    id: int
    prompt: Prompt
    #: The sampling parameters that were set, by name (``temperature``, ``max_tokens`` ...).
    sampling: Mapping[str, Any]
    #: Number of the sample among those that this member gives for the row, from 0.
    sample: int
    #: What `Backend.encode` made of prompt and sampling: exactly what is to be sent.
    body: bytes
    #: Upper limit for this call in seconds, connection set-up included.
    timeout: float
    #: The request key: that of one cell is the same in every start of a run, while the same is asked. Else empty.
    key: bytes = b""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call as the server counted them; None where it did not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a backend returned and what was paid for. Stored raw, for ever."""

    text: str | None
    #: Why the model stopped: ``stop``, ``length``, ``content_filter``, ``tool_calls`` or the server's own word.
    finish_reason: str | None = None
    usage: Usage | None = None
    #: The model that answered, as the server names it.
    model: str | None = None
    #: The model's words where it declined to answer.
    refusal: str | None = None
    #: The model's reasoning, where the server returns it apart from the text.
    reasoning: str | None = None
    tool_calls: Sequence[Mapping[str, Any]] | None = None
    #: Anything else of the reply that is worth keeping (log probabilities, identifiers).
    extra: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """A model as a provider sells it, for its price to be looked up."""

    #: The model, as the provider names it.
    model: str
    #: Address of the provider's API, such as ``https://api.openai.com/v1``.
    url: str
    #: What is paid of the list price: 0.5 for half of it.
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a configured backend can do. Recipes that ask for more are refused or warned of."""

    #: ``chat`` takes messages, ``text`` takes one text: a prompt format has to make it.
    takes: Literal["chat", "text"] = "chat"
    #: Honours a ``seed``.
    seed: bool = False
    #: Honours stop strings.
    stop: bool = True
    #: Constrains its output to a JSON Schema.
    schema: bool = False
    #: What is bought, where a provider may have a price for it.
    offer: Offer | None = None
    #: What suits the backend of ``limits:``, by name, where the recipe does not say: a batch takes hours.
    limits: Mapping[str, Any] = field(default_factory=dict)


Level: TypeAlias = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a policy or a check says. Only the level ``error`` makes a plan incompatible."""

    level: Level
    #: Stable identifier such as ``output-names``; documented, and used to silence or raise a finding.
    rule: str
    message: str
    members: tuple[str, ...] = ()
    #: The output field or input column that it is about.
    field: str = ""
    #: What to do about it.
    hint: str = ""
    #: Lines of YAML, ready to paste into the member that ``members`` names, which cure it.
    fix: str = ""
    #: Who says so: the policy or plugin.
    source: str = ""
    #: The key of the member in the recipe that it is about, such as ``task`` or ``task.template``; decides the
    #: line that is shown.
    key: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a cell ended."""

    status: Literal["ok", "failed"]
    cause: Cause | None = None
    message: str = ""
    #: The pool's output fields, None for a failed cell.
    outputs: Mapping[str, Any] | None = None
    answer: Answer | None = None
    #: Requests that were sent for this cell in this run.
    attempts: int = 0
    #: Seconds from the first request to the end, waits included.
    seconds: float = field(default=0.0, compare=False)
