"""The checks of a backend before it is open, and in another process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pool_core.interfaces.backend import Backend
from pool_core.interfaces.batch_backend import BatchBackend
from pool_core.interfaces.values import Message, Offer, Prompt, Request
from pool_core.testing.conformance.backend_suite import BackendSuite
from pool_core.testing.conformance.base import clip
from pool_core.testing.conformance.effects import watch_effects

__all__ = ["MadeChecks"]

_CONTACTS = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.fork", "os.posix_spawn")


class MadeChecks(BackendSuite):
    """A backend as it is made."""

    def test_capabilities_are_what_is_declared(self) -> None:
        """What `capabilities` says is what the class declares."""
        found = self._capabilities
        for name in ("seed", "stop", "schema"):
            if getattr(found, name) != getattr(self.supports, name):
                self.fail(
                    f"capabilities() says {name}={getattr(found, name)}, declared is {getattr(self.supports, name)}",
                    "correct the one that is wrong",
                )
        if found.takes not in ("chat", "text") or not isinstance(found.offer, Offer | None):
            self.fail(f"capabilities() is {found!r}", "take `chat` or `text`, and offer an Offer or None")
        batches = issubclass(self.factory, BatchBackend)
        if batches != self.supports.batches:
            self.fail(
                f"it {'derives' if batches else 'does not derive'} from BatchBackend, "
                f"and batches={self.supports.batches} is declared",
                "declare what is so",
            )

    def test_making_it_contacts_nothing(self) -> None:
        """Making it, its names and an encoded request need no network and no process: a plan is made of them."""
        with watch_effects(*_CONTACTS) as effects:
            backend = self.call("making it", self.make_backend)
            self.call("its names", lambda: (backend.model, backend.endpoint, backend.identity, backend.quota))
            self.call("encode", lambda: self._request(backend))
        if effects:
            self.fail(f"it {effects[0]} before it was open", "do that in open()")

    def test_its_names_are_text(self) -> None:
        """`model`, `endpoint`, `identity` and `quota` are texts, and the same for one configuration."""
        first, second = self.make_backend(), self.make_backend()
        for name in ("model", "endpoint", "identity", "quota"):
            said = self.call(name, lambda name=name: getattr(first, name))  # type: ignore[misc]
            if not isinstance(said, str) or not said:
                self.fail(f"{name} is {said!r}", "give a text: it is shown, or part of a key")
            if said != getattr(second, name):
                self.fail(f"{name} is {said!r}, and {getattr(second, name)!r} of a second one", "make it of the config")

    def test_encode_is_deterministic(self) -> None:
        """The same prompt and parameters are the same bytes: again, of another backend, and in another process."""
        sampling = {**self.sampling, "temperature": 0.5, "max_tokens": 64}
        backend = self.make_backend()
        for prompt in self._list_prompts():
            body = self.call("encode", lambda prompt=prompt: backend.encode(prompt, sampling))  # type: ignore[misc]
            if not isinstance(body, bytes):
                self.fail(f"encode returned {type(body).__name__}", "return the bytes that are sent")
            others = {
                "a second time": self.make_backend().encode(prompt, dict(sampling)),
                "in another process": self.call_elsewhere(
                    "the backend", _encode, self.make_backend(), prompt, sampling
                ),
            }
            for when, other in others.items():
                if other != body:
                    self.fail(f"encode gave {clip(body)}, and {when} {clip(other)}", "no clock, no random, no sets")

    def test_encode_tells_requests_apart(self) -> None:
        """Other prompts and other parameters are other bytes, which decide what is asked again."""
        backend = self.make_backend()
        first, second = self._list_prompts()[:2]
        bodies = {
            "the first prompt": backend.encode(first, self.sampling),
            "the second prompt": backend.encode(second, self.sampling),
            "another temperature": backend.encode(first, {**self.sampling, "temperature": 0.123}),
            "64 tokens at most": backend.encode(first, {**self.sampling, "max_tokens": 64}),
            "65 tokens at most": backend.encode(first, {**self.sampling, "max_tokens": 65}),
        }
        if first.messages:
            system, user = Message("system", "Be brief."), Message("user", "Hello.")
            told, talk = (system, *first.messages), (user, Message("assistant", "Good day."), *first.messages)
            bodies |= {
                "it after a system message": backend.encode(replace(first, messages=told), self.sampling),
                "it after other turns": backend.encode(replace(first, messages=talk), self.sampling),
            }
        if self.supports.seed:
            bodies |= {f"the seed {seed}": backend.encode(first, {**self.sampling, "seed": seed}) for seed in (1, 2)}
        seen: dict[bytes, str] = {}
        for what, body in bodies.items():
            if body in seen:
                self.fail(f"{seen[body]} and {what} are encoded alike", "encode all that decides the answer")
            seen[body] = what

    def test_it_works_in_another_process(self) -> None:
        """It can be pickled before it is open, and answers in another process as it does here."""
        with self._serving() as server:
            backend = self.make_backend(server.url)
            request = self._request(backend)
            here = self._converse(server.url, lambda backend: self._get(backend, request))
            there = self.call_elsewhere("the backend", _answer, backend, request)
        if here.text != there:
            self.fail(f"it answers {clip(here.text)}, and in another process {clip(there)}", "keep no state outside")


def _encode(backend: Backend[Any], prompt: Prompt, sampling: Mapping[str, Any]) -> bytes:
    return backend.encode(prompt, sampling)


def _answer(backend: Backend[Any], request: Request) -> str | None:
    async def run() -> str | None:
        await backend.open()
        try:
            return (await backend.generate(request)).text
        finally:
            await backend.aclose()

    return asyncio.run(run())
