"""A plugin for tests, which offers one or two things of every kind by name.

::

    registry = make_registry()
    registry.register(ScriptedPlugin(), name="scripted")
    pool = Pool(members=[Member(name="a", backend="echo", task={"use": "echo", "column": "q"})], policies=())
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, Field

from pool_core.api import Contribution, hookimpl
from pool_core.interfaces.backend import Backend, BackendSpec
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.data import Reader, Writer
from pool_core.interfaces.policy import MemberSignature, Policy
from pool_core.interfaces.prompt_format import PromptFormat
from pool_core.interfaces.types import FieldType
from pool_core.interfaces.values import Answer, Capabilities, Finding, Message, Request, Row

__all__ = [
    "EchoBackend",
    "JsonReader",
    "JsonWriter",
    "LinesFormat",
    "RefusePolicy",
    "RelayBackend",
    "ScriptedPlugin",
]


class EchoBackendConfig(PluginConfig):
    """Configuration of `EchoBackend`."""

    model: str = Field("echo", description="Name of the model.")
    takes: Literal["chat", "text"] = Field("chat", description="What it takes: messages or one text.")
    seed: bool = Field(True, description="Whether it takes a seed.")
    stop: bool = Field(True, description="Whether it takes stop strings.")


class EchoBackend(Backend[EchoBackendConfig]):
    """Answers with what it was asked."""

    Config: ClassVar[type[BaseModel]] = EchoBackendConfig

    @classmethod
    def capabilities(cls, config: EchoBackendConfig, inner: Mapping[str, Capabilities]) -> Capabilities:
        return Capabilities(takes=config.takes, seed=config.seed, stop=config.stop)

    @property
    def model(self) -> str:
        return self.config.model

    @property
    def endpoint(self) -> str:
        return f"echo:{self.model}"

    async def generate(self, request: Request) -> Answer:
        prompt = request.prompt
        return Answer(str(prompt.messages[-1].content) if prompt.text is None else prompt.text, "stop")


class RelayConfig(PluginConfig):
    """Configuration of `RelayBackend`."""

    backend: BackendSpec = Field(description="The backend that answers.")


class RelayBackend(Backend[RelayConfig]):
    """Passes on to another backend, as plugins do that record or choose."""

    Config: ClassVar[type[BaseModel]] = RelayConfig

    def __init__(self, config: RelayConfig, backend: Backend[Any]) -> None:
        super().__init__(config)
        self.inner = backend

    @classmethod
    def build(cls, config: RelayConfig, inner: Mapping[str, Backend[Any]]) -> Self:
        return cls(config, inner["backend"])

    @classmethod
    def capabilities(cls, config: RelayConfig, inner: Mapping[str, Capabilities]) -> Capabilities:
        return inner["backend"]

    @property
    def model(self) -> str:
        return self.inner.model

    @property
    def endpoint(self) -> str:
        return self.inner.endpoint

    async def generate(self, request: Request) -> Answer:
        return await self.inner.generate(request)


class RefuseConfig(PluginConfig):
    """Configuration of `RefusePolicy`."""

    message: str = Field("refused", description="What it says.")


class RefusePolicy(Policy[RefuseConfig]):
    """Refuses every pool."""

    Config: ClassVar[type[BaseModel]] = RefuseConfig

    def judge(self, members: Sequence[MemberSignature]) -> Iterable[Finding]:
        return [Finding("error", "refused", self.config.message, tuple(member.name for member in members))]


class LinesFormat(PromptFormat[PluginConfig]):
    """Writes each message as a line ``role: content``, with a stop string."""

    Config: ClassVar[type[BaseModel]] = PluginConfig

    @property
    def stop(self) -> tuple[str, ...]:
        return ("user:",)

    def format(self, messages: Sequence[Message]) -> str:
        return "".join(f"{message.role}: {message.content}\n" for message in messages) + "assistant:"


class JsonReader(Reader[PluginConfig]):
    """Reads a JSON array of objects."""

    Config: ClassVar[type[BaseModel]] = PluginConfig

    def read(self) -> Iterator[tuple[str, Row]]:
        for number, row in enumerate(json.loads(self.path.read_bytes()), 1):
            yield f"item {number}", row


class JsonWriter(Writer[PluginConfig]):
    """Writes a JSON array, an item a line."""

    Config: ClassVar[type[BaseModel]] = PluginConfig

    def write(self, records: Iterable[Mapping[str, Any]], schema: Mapping[str, FieldType]) -> int:
        lines = [json.dumps(dict(record)) for record in records]
        self.path.write_text("[" + ",\n".join(lines) + "]\n", encoding="utf-8")
        return len(lines)


class ScriptedPlugin:
    """An entry module that offers all of this by name."""

    @hookimpl
    def pool_tasks(self) -> Iterator[Contribution]:
        yield Contribution("echo", "pool_core.testing.scripted:EchoTask", "Asks what a column says.")
        yield Contribution("code", "pool_core.testing.scripted:CodeTask", "Asks for code.")

    @hookimpl
    def pool_backends(self) -> Iterator[Contribution]:
        yield Contribution("echo", f"{__name__}:EchoBackend", "Answers with what it was asked.")
        yield Contribution("relay", f"{__name__}:RelayBackend", "Passes on to another backend.")

    @hookimpl
    def pool_policies(self) -> Iterator[Contribution]:
        yield Contribution("refuse", f"{__name__}:RefusePolicy", "Refuses every pool.")

    @hookimpl
    def pool_prompt_formats(self) -> Iterator[Contribution]:
        yield Contribution("lines", f"{__name__}:LinesFormat", "role: content")

    @hookimpl
    def pool_readers(self) -> Iterator[Contribution]:
        yield Contribution("json", f"{__name__}:JsonReader", "A JSON array.", suffixes=(".json",))

    @hookimpl
    def pool_writers(self) -> Iterator[Contribution]:
        yield Contribution("json", f"{__name__}:JsonWriter", "A JSON array.", suffixes=(".json",))
