"""The interface of a backend: prompts become answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel

from pool_core.interfaces.encoding import encode_json
from pool_core.interfaces.isolation import Placement
from pool_core.interfaces.values import Answer, Capabilities, Prompt, Request

if TYPE_CHECKING:
    from pool_core.interfaces.batch_backend import BatchBackend

__all__ = ["Backend", "BackendSpec", "BatchBackend"]

ConfigT = TypeVar("ConfigT", bound=BaseModel)


class BackendSpec(Placement):
    """A backend named inside another one's configuration: ``{use: name, ...its configuration}``.

    A backend that wraps others declares fields of this type. The plan resolves and validates each,
    and hands the built backends to `Backend.build` by field name.
    """

    use: str


class Backend(ABC, Generic[ConfigT]):
    """Turns requests into answers: an HTTP endpoint, an engine in the process, a recording.

    The constructor must not contact, load or read anything slow: that is for `open`. The engine
    calls `open` once, then `generate` for many requests at a time from one event loop, then `aclose`.
    """

    Config: ClassVar[type[BaseModel]]

    #: Runs in a process of its own unless the recipe says ``isolate: false``: for engines that load a model. Its
    #: class must be importable, and its configuration must survive being written as JSON.
    isolated: ClassVar[bool] = False

    #: Set by the engine before `open`, None outside of a run. A backend calls it with the seconds in which
    #: its quota takes no request, where a reply that succeeded says so: nothing is sent until they are over.
    #: A call that failed says the same by `BackendError.retry_after`.
    pause: Callable[[float], None] | None = None

    #: Set by the engine before `open`, None outside of a run. A folder of the run, which may have to be made, for
    #: what must outlive a kill: such as what was submitted and is still to come.
    folder: Path | None = None

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    @classmethod
    def build(cls, config: ConfigT, inner: Mapping[str, Backend[Any]]) -> Self:
        """Make the backend. ``inner`` has the backends of the configuration's `BackendSpec` fields."""
        return cls(config)

    @classmethod
    def capabilities(cls, config: ConfigT, inner: Mapping[str, Capabilities]) -> Capabilities:
        """What a backend with this configuration can do. Pure: called when a recipe is checked."""
        return Capabilities()

    @property
    @abstractmethod
    def model(self) -> str:
        """Name of the model, as outputs show it."""

    @property
    @abstractmethod
    def endpoint(self) -> str:
        """What answers, such as ``POST https://host/v1/chat/completions``; without any secret."""

    @property
    def identity(self) -> str:
        """What beside the body decides the answer; part of every request's key, and never a secret.

        Two backends with one identity and one body share stored answers.
        """
        return self.endpoint

    @property
    def quota(self) -> str:
        """Identity of the real limit that calls count against; members with equal ones share it.

        An endpoint with the reference to its key, or a device. Never the key itself.
        """
        return self.endpoint

    def encode(self, prompt: Prompt, sampling: Mapping[str, Any]) -> bytes:
        """Write exactly what is to be sent. Pure and deterministic: it is hashed into the request's key.

        Raises:
            BackendError: the prompt or a parameter cannot be sent; the cell fails with its cause.
        """
        value = {
            "model": self.model,
            "messages": [{"role": m.role, "content": m.content} for m in prompt.messages],
            "text": prompt.text,
            "schema": prompt.schema,
            **sampling,
        }
        return encode_json({name: v for name, v in value.items() if v not in (None, [])})

    def describe_headers(self) -> Mapping[str, str]:
        """What is sent beside the body, for people to look at. Secrets are redacted."""
        return {}

    async def open(self) -> None:
        """Get ready: load the model, open the client, read the key.

        Raises:
            BackendError: not possible; the member is stopped with this message, others go on.
        """

    async def refresh(self) -> bool:
        """Read the key's source again. Returns whether it now holds another key.

        The engine calls it when a server that has answered refuses the key, and asks again if this
        returns True: a key may be rotated while a run works. Without a key, or where a key cannot
        change, there is nothing to do.

        Raises:
            BackendError: the key is no longer there; the member is stopped with this message.
        """
        return False

    @abstractmethod
    async def generate(self, request: Request) -> Answer:
        """Answer one request. May be cancelled at any await. Must not retry: the engine does.

        Raises:
            BackendError: no answer; its cause decides what happens next.
        """

    def note_durable(self) -> None:
        """Everything that `generate` has answered so far is durable now, and is not asked again after a kill.

        Called at the end of a run, before `aclose`, unless the run could not write what it had.
        """

    async def aclose(self) -> None:
        """Release everything. May be called twice, and without `open`."""


def __getattr__(name: str) -> Any:
    """Import `BatchBackend` on first use: it needs the event loop, and whoever checks a recipe does not."""
    if name == "BatchBackend":
        return import_module("pool_core.interfaces.batch_backend").BatchBackend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
