"""What the checks of a backend work with: how it is made, asked, and served."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

from pool_core.errors import BackendError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.values import Answer, Capabilities, Prompt, Request
from pool_core.recipe.uses import UseBackend
from pool_core.testing.conformance.base import PluginConformance, describe
from pool_core.testing.conformance.declared import Failure
from pool_core.testing.conformance.secrets import KEY_VARIABLE, Canary
from pool_core.testing.faults import FAULTS
from pool_core.testing.replies import Fault, ReceivedRequest, Reply, make_chat_body, make_text_body
from pool_core.testing.server import Script, ScriptedServer

__all__ = ["LONG", "NOWHERE", "SHORT", "BackendSuite"]

T = TypeVar("T")

#: Seconds of a call that is given up, and of one that is not.
SHORT, LONG = 0.3, 60.0
#: What nobody is at: the address of a server that is not asked.
NOWHERE = "http://127.0.0.1:9/v1"


class BackendSuite(PluginConformance):
    """A backend and its server. `BackendConformance` adds the checks."""

    kind = "backend"
    asked = ("http", "key", "seed", "stop", "schema", "usage", "batches")

    #: The variable of the environment that has the key, while a check runs.
    key_variable: ClassVar[str] = KEY_VARIABLE
    #: What it is asked: two prompts at least, all different. By default two of the kind that it takes.
    prompts: ClassVar[Sequence[Prompt]] = ()
    #: The sampling parameters of each request.
    sampling: ClassVar[Mapping[str, Any]] = {}
    #: The JSON Schema of a prompt that asks for one, where ``schema`` is supported.
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {"colour": {"type": "string"}},
        "required": ["colour"],
        "additionalProperties": False,
    }
    #: What its server can do wrong, by name. Another API than OpenAI's has faults of its own, under the same names.
    faults: ClassVar[Mapping[str, Fault]] = FAULTS
    #: Names of `FAULTS` that its server cannot have, each with the reason.
    inapplicable: ClassVar[Mapping[str, str]] = {}
    #: Without HTTP: calls that fail.
    failures: ClassVar[Sequence[Failure]] = ()
    #: Without HTTP: configuration with which an answer takes longer than a second.
    slow: ClassVar[Mapping[str, Any] | None] = None

    def make_address(self, base_url: str) -> Mapping[str, Any]:
        """The configuration of a backend that talks to ``base_url``, such as ``http://127.0.0.1:4012/v1``."""
        self.fail("it talks to a server, and nobody says how it gets the address", "override `make_address`")

    def make_reply(self, request: ReceivedRequest, text: str) -> Reply:
        """The reply of its server with ``text``; by default that of OpenAI's API. No usage but what it says."""
        if request.path.endswith("/chat/completions"):
            return Reply(body=make_chat_body(text))
        return Reply(body=make_text_body(text))

    def read_usage(self, answer: Answer) -> tuple[int | None, int | None]:
        """The tokens of ``answer``, of the prompt and of the answer."""
        return (answer.usage.input_tokens, answer.usage.output_tokens) if answer.usage else (None, None)

    def make_use(self, config: Mapping[str, Any] | None = None) -> UseBackend:
        """What a recipe writes to use it; it runs where it says itself."""
        return UseBackend(**super().make_use(config).model_dump())

    def make_backend(self, base_url: str = NOWHERE, config: Mapping[str, Any] | None = None) -> Backend[Any]:
        """A backend as the engine makes it, with those that it wraps; not open."""
        return self.resolver.resolve_backend(self.make_use(self._address(base_url, config)), ()).build()

    def list_configs(self) -> list[Mapping[str, Any]]:
        more = [failure.config for failure in self.failures] + ([self.slow] if self.slow is not None else [])
        return [self._address(NOWHERE, config) for config in ({}, *more)]

    def _address(self, base_url: str, config: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        return {**(self.make_address(base_url) if self.supports.http else {}), **(config or {})}

    # What the checks work with.

    @property
    def _capabilities(self) -> Capabilities:
        return self.resolver.resolve_backend(self.make_use(self._address(NOWHERE)), ()).describe_capabilities()

    def _list_prompts(self) -> list[Prompt]:
        if self.prompts:
            return list(self.prompts)
        texts = ("Name a colour.", "Name an animal.")
        return [Prompt.chat(text) if self._capabilities.takes == "chat" else Prompt(text=text) for text in texts]

    def _make_prompt(self, text: str) -> Prompt:
        return Prompt.chat(text) if self._capabilities.takes == "chat" else Prompt(text=text)

    def _request(
        self,
        backend: Backend[Any],
        prompt: Prompt | None = None,
        *,
        id_: int = 0,
        sampling: Mapping[str, Any] | None = None,
        timeout: float = LONG,
    ) -> Request:
        prompt = prompt or self._list_prompts()[0]
        given = {**self.sampling, **(sampling or {})}
        return Request(id_, prompt, given, 0, backend.encode(prompt, given), timeout)

    def _answer_all(self, text: str = "A plain answer.") -> Script:
        return lambda request: self.make_reply(request, text)

    @contextmanager
    def _serving(self, script: Script | None = None) -> Iterator[ScriptedServer]:
        """A server where one is needed; without HTTP nobody asks it. The key is in the environment."""
        with Canary(), ScriptedServer(script if script is not None else self._answer_all()) as server:
            yield server

    def _run(self, work: Coroutine[Any, Any, T], what: str = "the call") -> T:
        """Run ``work`` in an event loop of its own; it has to end."""

        async def bound() -> T:
            async with asyncio.timeout(self.patience):
                return await work

        try:
            return asyncio.run(bound())
        except TimeoutError:
            self.fail(f"{what} did not end within {self.patience:g} s", "wait for nothing that may never come")

    async def _ask(self, backend: Backend[Any], request: Request) -> Answer | BackendError:
        """One call; what it raises but a `BackendError` fails the check."""
        try:
            return await backend.generate(request)
        except BackendError as error:
            return error
        except Exception as error:  # noqa: BLE001 - told as the failure of the check
            self.fail(f"generate raised {describe(error)}", "raise BackendError with the cause, and nothing else")

    async def _get(self, backend: Backend[Any], request: Request) -> Answer:
        """One call that has to be answered."""
        said = await self._ask(backend, request)
        if isinstance(said, BackendError):
            self.fail(f"a call that should be answered failed with {said.cause}: {said}", "answer it")
        if not isinstance(said, Answer):
            self.fail(f"generate returned {type(said).__name__}", "return an Answer")
        return said

    def _converse(self, url: str, talk: Callable[[Backend[Any]], Awaitable[T]], **config: Any) -> T:
        """Open a backend, let ``talk`` use it, and close it."""

        async def run() -> T:
            backend = self.make_backend(url, config)
            with self.explaining("open failed", "open has to work with the configuration of the class"):
                await backend.open()
            try:
                return await talk(backend)
            finally:
                await backend.aclose()

        return self._run(run())

    def _need_http(self) -> None:
        if not self.supports.http:
            self.skip("declared as one that talks to no server")

    def _need_key(self) -> None:
        if not self.supports.key:
            self.skip("declared as one that sends no key")

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for what another thread does, as long as `patience`."""
        try:
            async with asyncio.timeout(self.patience / 2):
                while not condition():  # noqa: ASYNC110 - another thread makes it true
                    await asyncio.sleep(0.005)
        except TimeoutError:
            return
