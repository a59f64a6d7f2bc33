"""A world of model servers in virtual time, for the engine or for calls of one's own.

::

    world = World(seed=7)
    server = world.add_server("gpu", capacity=[(0, 8), (60, 64)], latency=1.0, spread=0.5)
    member = Member(name="a", backend=WorldBackend(server), task=EchoTask())

What is random comes from the seed: the same seed and the same requests give the same `World.trace`.
"""

from __future__ import annotations

from random import Random
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from pool_core.interfaces.backend import Backend
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.values import Answer, Capabilities, Request
from pool_core.testing.model_server import Counts, Event, ModelServer, Outage, ServerScript

__all__ = ["Counts", "Event", "ModelServer", "Outage", "ServerScript", "World", "WorldBackend"]


class World:
    """Servers that share a seed and a trace."""

    def __init__(self, seed: int = 0, *, traced: bool = True) -> None:
        self.seed = seed
        #: Everything that happened, in order. Empty where the world is not ``traced``, to save memory.
        self.trace: list[Event] = []
        self._traced = traced

    def add_server(self, name: str, **script: Any) -> ModelServer:
        """A server that does as ``script`` says, in the words of `ServerScript`."""
        random = Random(f"{self.seed}/{name}")  # noqa: S311 - not for secrets
        return ModelServer(name, ServerScript(**script), random, self.trace if self._traced else None)


class WorldConfig(PluginConfig):
    """Configuration of `WorldBackend`."""

    model: str = Field(description="Name of the model.")


class WorldBackend(Backend[WorldConfig]):
    """Asks a server of the world. Members that ask one server share its quota."""

    Config: ClassVar[type[BaseModel]] = WorldConfig

    def __init__(self, server: ModelServer, model: str = "") -> None:
        super().__init__(WorldConfig(model=model or server.name))
        self._server = server

    @classmethod
    def capabilities(cls, config: Any, inner: Any) -> Capabilities:
        return Capabilities(seed=True)

    @property
    def model(self) -> str:
        return self.config.model

    @property
    def endpoint(self) -> str:
        return f"world:{self._server.name}"

    async def generate(self, request: Request) -> Answer:
        return await self._server.answer(prompt_tokens=len(request.body) // 4)
