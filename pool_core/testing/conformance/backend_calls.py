"""The checks of several calls at a time, and of how calls and backends end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from pool_core import Member, Pool
from pool_core.errors import BackendError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.task import Task
from pool_core.interfaces.values import Answer, Cause, Prompt, Row
from pool_core.testing.conformance.backend_suite import LONG, NOWHERE, SHORT, BackendSuite
from pool_core.testing.conformance.base import clip
from pool_core.testing.replies import ReceivedRequest, Reply
from pool_core.testing.scripted import EchoOutput
from pool_core.testing.server import ScriptedServer

__all__ = ["CallChecks"]


class CallChecks(BackendSuite):
    """Several calls, and ends."""

    def test_calls_run_at_the_same_time(self) -> None:
        """A call does not wait for others: how many run is for the engine to say."""
        self._need_http()
        count = 6

        async def run(server: ScriptedServer) -> int:
            backend = self.make_backend(server.url)
            await backend.open()
            calls = [asyncio.ensure_future(self._ask(backend, self._request(backend, id_=n))) for n in range(count)]
            await self._wait_until(lambda: server.max_in_flight == count)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            await backend.aclose()
            return server.max_in_flight

        with self._serving(lambda _: Reply(delay=LONG)) as server:
            most = self._run(run(server))
        if most != count:
            self.fail(f"of {count} calls, {most} ran at a time", "take no lock; keep connections for as many as come")

    def test_answers_are_joined_to_their_requests(self) -> None:
        """Of calls at the same time, each gets its own answer, in whatever order the answers come."""
        if self.supports.http:
            texts = [f"question-{number:03}" for number in range(12)]
            prompts = [self._make_prompt(text) for text in texts]
            with self._serving(self._answer_late) as server:
                found = self._converse(server.url, lambda backend: self._ask_at_once(backend, prompts))
            wanted: Sequence[str | None] = [f"about {text}" for text in texts]
        else:
            prompts = self._list_prompts()
            wanted = self._converse(NOWHERE, lambda backend: self._ask_one_by_one(backend, prompts))
            found = self._converse(NOWHERE, lambda backend: self._ask_at_once(backend, prompts))
        for prompt, want, got in zip(prompts, wanted, found, strict=True):
            if want != got:
                self.fail(
                    f"{clip(prompt)} has the answer {clip(want)}, and among others {clip(got)}",
                    "join answers to requests by `Request.id`, never by their order",
                )

    def _answer_late(self, request: ReceivedRequest) -> Reply:
        """Answer the first ones last."""
        number = int(request.raw.partition(b"question-")[2][:3])
        made = self.make_reply(request, f"about question-{number:03}")
        return Reply(made.status, made.body, made.headers, delay=0.02 * (12 - number))

    async def _ask_at_once(self, backend: Backend[Any], prompts: Sequence[Prompt]) -> list[str | None]:
        # ids as they come from an engine that has done more than this
        calls = [self._get(backend, self._request(backend, prompt, id_=97 - 5 * n)) for n, prompt in enumerate(prompts)]
        return [answer.text for answer in await asyncio.gather(*calls)]

    async def _ask_one_by_one(self, backend: Backend[Any], prompts: Sequence[Prompt]) -> list[str | None]:
        return [(await self._get(backend, self._request(backend, prompt, id_=11))).text for prompt in prompts]

    def test_a_concurrency_limit_is_honoured(self) -> None:
        """In a run with `limits: {concurrency: 2}` each cell is one request, and no more than two are on their way."""
        prompts = self._list_prompts()
        if self.supports.http:
            prompts = [self._make_prompt(f"question-{number:03}") for number in range(8)]
        rows = [{"number": number} for number in range(len(prompts))]
        with self._serving(self._answer_slowly) as server:
            member = Member(
                name="a",
                backend=self._name_it(server.url),
                task=_AskTask(prompts),
                sampling=dict(self.sampling),
                limits={"concurrency": 2},
            )
            pool = Pool(members=[member], policies=[])
            result = pool.run(rows, run_dir=self.folder / "run", registry=self.make_registry())
            most, sent = server.max_in_flight, len([one for one in server.requests if one.method == "POST"])
        if result.summary.status != "complete":
            failed = [part["message"] for row in result.rows() for part in row["generations"] if part["message"]]
            self.fail(f"the run is {result.summary.status}: {clip(failed)}", "see the other checks")
        if self.supports.http and (most > 2 or sent != len(rows)):  # noqa: PLR2004
            self.fail(
                f"{len(rows)} cells, at most 2 at a time, became {sent} requests, {most} at a time",
                "send one request per call, and none before or behind it",
            )

    def _name_it(self, base_url: str) -> dict[str, Any]:
        """What a member has as its backend, with the paths in it absolute."""
        config = self.make_config(self._address(base_url))
        return {"use": self.entry.qualified, **config.model_dump(mode="json", exclude_unset=True)}

    def _answer_slowly(self, request: ReceivedRequest) -> Reply:
        made = self.make_reply(request, "A plain answer.")
        return Reply(made.status, made.body, made.headers, delay=0.02)

    def test_a_cancelled_call_ends(self) -> None:
        """A call that is cancelled ends at once, and the backend goes on to answer others."""
        if not self.supports.http and self.slow is None:
            self.fail("nobody has looked at cancelling", "give `slow`, with which an answer takes over a second")
        first = iter([Reply(delay=10 * LONG)])
        with self._serving(lambda request: next(first, None) or self.make_reply(request, "Green.")) as server:
            slow = self.make_backend(server.url, self.slow)
            quick = slow if self.supports.http else self.make_backend()
            started = (lambda: bool(server.requests)) if self.supports.http else None
            cancelled = self._run(self._cancel(slow, quick, started), "a cancelled call, or the one behind it,")
        if not cancelled:
            self.fail("a cancelled call returned", "let CancelledError through")

    async def _cancel(self, slow: Backend[Any], quick: Backend[Any], started: Callable[[], bool] | None) -> bool:
        """Cancel a call of ``slow``, then have one of ``quick`` answered beside another that is cancelled."""
        await slow.open()
        call = asyncio.ensure_future(self._ask(slow, self._request(slow)))
        await (self._wait_until(started) if started else asyncio.sleep(SHORT))
        call.cancel()
        await asyncio.wait([call])
        if quick is not slow:
            await quick.open()
        other = asyncio.ensure_future(self._ask(quick, self._request(quick, id_=2)))
        answer = asyncio.ensure_future(self._get(quick, self._request(quick, self._list_prompts()[1], id_=1)))
        await asyncio.sleep(0)
        other.cancel()
        await answer
        await asyncio.wait([other])
        for backend in (slow, quick):
            await backend.aclose()
        return call.cancelled()

    def test_the_time_limit_is_kept(self) -> None:
        """A call that takes longer than `Request.timeout` fails with the cause `timeout`."""
        if not self.supports.http and self.slow is None:
            self.fail("nobody has looked at its time limit", "give `slow`, with which an answer takes over a second")

        async def talk(backend: Backend[Any]) -> Answer | BackendError:
            return await self._ask(backend, self._request(backend, timeout=SHORT))

        with self._serving(lambda _: Reply(delay=10 * LONG)) as server:
            said = self._converse(server.url, talk, **({} if self.supports.http else self.slow or {}))
        if not isinstance(said, BackendError) or said.cause is not Cause.TIMEOUT:
            self.fail(f"behind its time limit a call gave {clip(said)}", "raise BackendError(Cause.TIMEOUT, ...)")

    def test_it_can_be_closed_twice_and_unopened(self) -> None:
        """`aclose` may be called twice, and without `open`."""

        async def run(url: str) -> None:
            unopened, backend = self.make_backend(url), self.make_backend(url)
            with self.explaining("aclose without open failed", "close what is there, if anything is"):
                await unopened.aclose()
            await backend.open()
            await self._get(backend, self._request(backend))
            with self.explaining("aclose failed", "close once, and remember it"):
                await backend.aclose()
                await backend.aclose()

        with self._serving() as server:
            self._run(run(server.url))

    def test_closing_leaves_nothing_behind(self) -> None:
        """When it is closed, no task of it runs on in the event loop."""

        async def run(url: str) -> set[str]:
            backend = self.make_backend(url)
            before = asyncio.all_tasks()
            await backend.open()
            await self._get(backend, self._request(backend))
            await backend.aclose()
            for _ in range(3):
                await asyncio.sleep(0)
            return {str(task.get_coro()) for task in asyncio.all_tasks() - before}

        with self._serving() as server:
            left = self._run(run(server.url))
        if left:
            self.fail(f"tasks run on after aclose: {', '.join(sorted(left))}", "cancel them, and wait for them")

    def test_it_says_that_it_is_not_open(self) -> None:
        """`generate` before `open` is a `BackendError` or an answer, never another error."""

        async def run(url: str) -> None:
            backend = self.make_backend(url)
            await self._ask(backend, self._request(backend))
            await backend.aclose()

        with self._serving() as server:
            self._run(run(server.url))


class _AskTask(Task[PluginConfig]):
    """Asks a list of prompts, by number."""

    Config: ClassVar[type[BaseModel]] = PluginConfig
    Output: ClassVar[type[BaseModel]] = EchoOutput

    def __init__(self, prompts: Sequence[Prompt]) -> None:
        super().__init__(PluginConfig())
        self._prompts = prompts

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("number",)

    def render(self, row: Row) -> Prompt:
        return self._prompts[row["number"]]

    def parse(self, answer: Answer, row: Row) -> EchoOutput:
        return EchoOutput(said=answer.text or "")
