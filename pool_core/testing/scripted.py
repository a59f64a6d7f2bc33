"""Two tasks and a backend for tests: what they do is written in the test.

Register them in a registry of their own, with nothing installed::

    registry = make_registry()
    backend = ScriptedBackend(lambda request: Answer("yes"))
    pool = Pool(members=[Member(name="a", backend=backend, task=EchoTask())], policies=())
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from pool_core.errors import ParseError, TemplateError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.task import Task
from pool_core.interfaces.values import Answer, Capabilities, Prompt, Request, Row, Usage
from pool_core.registry import Registry

__all__ = ["CodeTask", "EchoTask", "ScriptedBackend", "make_registry"]

Script = Callable[[Request], Answer | str | BaseException | Awaitable[Answer | str | BaseException]]


class EchoConfig(PluginConfig):
    """Configuration of `EchoTask`."""

    column: str = Field("text", description="The column that is asked.")
    fail_on: str = Field("", description="An answer that holds this cannot be parsed.")
    suffix: str = Field("", description="Put behind every output: changes the parser, not the prompt.")


class EchoOutput(BaseModel):
    """Output of `EchoTask`."""

    said: str


class EchoTask(Task[EchoConfig]):
    """Asks what a column says; gives the answer as the field ``said``."""

    Config: ClassVar[type[BaseModel]] = EchoConfig
    Output: ClassVar[type[BaseModel]] = EchoOutput

    def __init__(self, config: EchoConfig | None = None) -> None:
        super().__init__(config or EchoConfig())

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.config.column,)

    def render(self, row: Row) -> Prompt:
        text = row[self.config.column]
        if not isinstance(text, str):
            raise TemplateError(f"the column {self.config.column!r} must hold text, not {type(text).__name__}")
        return Prompt.chat(text)

    def parse(self, answer: Answer, row: Row) -> EchoOutput:
        text = answer.text or ""
        if self.config.fail_on and self.config.fail_on in text:
            raise ParseError(f"the answer holds {self.config.fail_on!r}")
        return EchoOutput(said=text + self.config.suffix)


class ScriptedConfig(PluginConfig):
    """Configuration of `ScriptedBackend`."""

    model: str = Field("scripted", description="Name of the model.")


class ScriptedBackend(Backend[ScriptedConfig]):
    """Answers as a function says: with an answer, its text, or an error to raise.

    The function may be async and wait. Every request is kept in `requests`.
    """

    Config: ClassVar[type[BaseModel]] = ScriptedConfig

    def __init__(self, script: Script, model: str = "scripted", *, quota: str = "") -> None:
        super().__init__(ScriptedConfig(model=model))
        self._script = script
        self._quota = quota or f"scripted:{model}"
        self.requests: list[Request] = []
        self.in_flight = 0
        #: Most requests that were ever in flight.
        self.peak = 0
        self.opened = 0
        self.closed = 0

    @classmethod
    def capabilities(cls, config: Any, inner: Any) -> Capabilities:
        return Capabilities(seed=True)

    @property
    def model(self) -> str:
        return str(self.config.model)

    @property
    def endpoint(self) -> str:
        return f"scripted:{self.model}"

    @property
    def quota(self) -> str:
        return self._quota

    async def open(self) -> None:
        self.opened += 1

    async def aclose(self) -> None:
        self.closed += 1

    async def generate(self, request: Request) -> Answer:
        self.requests.append(request)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await asyncio.sleep(0)
            said = self._script(request)
            if inspect.isawaitable(said):
                said = await said
        finally:
            self.in_flight -= 1
        if isinstance(said, BaseException):
            raise said
        return said if isinstance(said, Answer) else Answer(said, "stop", Usage(1, 1), self.model)


class CodeOutput(BaseModel):
    """Output of `CodeTask`."""

    code: str


class CodeTask(Task[PluginConfig]):
    """Asks for code: a task of another class tree than `EchoTask`, with another column and another field."""

    Config: ClassVar[type[BaseModel]] = PluginConfig
    Output: ClassVar[type[BaseModel]] = CodeOutput

    def __init__(self, config: PluginConfig | None = None) -> None:
        super().__init__(config or PluginConfig())

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("prompt",)

    def render(self, row: Row) -> Prompt:
        return Prompt.chat(str(row["prompt"]), "Write code.")

    def parse(self, answer: Answer, row: Row) -> CodeOutput:
        return CodeOutput(code=answer.text or "")


def make_registry() -> Registry:
    """A registry that knows no installed plugin."""
    return Registry()
