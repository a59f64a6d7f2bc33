"""The checks of a backend: what it is before it is open, what it answers, and how it fails."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

import pytest
from pydantic import BaseModel

from pool_core import Member, Pool
from pool_core.errors import BackendError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.batch_backend import BatchBackend
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.task import Task
from pool_core.interfaces.values import Answer, Capabilities, Cause, Offer, Prompt, Request, Row
from pool_core.recipe.models import UseBackend
from pool_core.testing.conformance.base import PluginConformance, clip, describe
from pool_core.testing.conformance.declared import Failure
from pool_core.testing.conformance.effects import watch_effects
from pool_core.testing.conformance.secrets import KEY_VARIABLE, Canary, watch_secrets
from pool_core.testing.faults import FAULTS, make_redirect
from pool_core.testing.replies import Fault, ReceivedRequest, Reply, make_chat_body, make_text_body
from pool_core.testing.scripted import EchoOutput
from pool_core.testing.server import Script, ScriptedServer

__all__ = ["BackendConformance"]

T = TypeVar("T")

#: Seconds of a call that is given up, and of one that is not.
_SHORT, _LONG = 0.3, 60.0
_CONTACTS = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.fork", "os.posix_spawn")
#: What nobody is at: the address of a server that is not asked.
_NOWHERE = "http://127.0.0.1:9/v1"
_SEED, _STOP = 424_242, "STOP-HERE"


class BackendConformance(PluginConformance):
    """A backend that is what `Backend` promises.

    ::

        class TestMine(BackendConformance):
            use = "mine/mine"
            supports = Supports(http=True, key=True, seed=True, stop=True, schema=True, usage=True, batches=False)

            def make_address(self, base_url):
                return {"model": "m", "base_url": base_url, "api_key": f"env:{self.key_variable}"}

    One that works in the process has ``http=False`` and gives ``config``, ``prompts`` that it answers,
    ``failures``, and in ``slow`` a configuration with which it takes longer than a second.
    """

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

    def make_backend(self, base_url: str = _NOWHERE, config: Mapping[str, Any] | None = None) -> Backend[Any]:
        """A backend as the engine makes it, with those that it wraps; not open."""
        return self.resolver.resolve_backend(self.make_use(self._address(base_url, config)), ()).build()

    def make_use(self, config: Mapping[str, Any] | None = None) -> UseBackend:
        """What a recipe writes to use it."""
        return UseBackend(**super().make_use(config).model_dump())

    def list_configs(self) -> list[Mapping[str, Any]]:
        more = [failure.config for failure in self.failures] + ([self.slow] if self.slow is not None else [])
        return [self._address(_NOWHERE, config) for config in ({}, *more)]

    def _address(self, base_url: str, config: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        return {**(self.make_address(base_url) if self.supports.http else {}), **(config or {})}

    # What the checks work with.

    @property
    def _capabilities(self) -> Capabilities:
        return self.resolver.resolve_backend(self.make_use(self._address(_NOWHERE)), ()).describe_capabilities()

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
        timeout: float = _LONG,
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

    # Before it is open.

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
        if batches and not self.supports.batches:
            self.fail("it derives from BatchBackend, and batches=False is declared", "declare batches=True")

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
        """The same prompt and parameters are the same bytes, in another process and in another order too."""
        sampling = {**self.sampling, "temperature": 0.5, "max_tokens": 64}
        backwards = dict(reversed(sampling.items()))
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
            self.call("encode", lambda prompt=prompt: backend.encode(prompt, backwards))  # type: ignore[misc]

    def test_encode_tells_requests_apart(self) -> None:
        """Other prompts and other parameters are other bytes, which decide what is asked again."""
        backend = self.make_backend()
        first, second = self._list_prompts()[:2]
        bodies = {
            "the first prompt": backend.encode(first, self.sampling),
            "the second prompt": backend.encode(second, self.sampling),
            "another temperature": backend.encode(first, {**self.sampling, "temperature": 0.123}),
        }
        if self.supports.seed:
            bodies |= {f"the seed {seed}": backend.encode(first, {**self.sampling, "seed": seed}) for seed in (1, 2)}
        seen: dict[bytes, str] = {}
        for what, body in bodies.items():
            if body in seen:
                self.fail(f"{seen[body]} and {what} are encoded alike", "encode all that decides the answer")
            seen[body] = what

    # Answers.

    def test_it_answers(self) -> None:
        """A plain request has an answer with a text."""
        text = "Blue, naturally."
        with self._serving(self._answer_all(text)) as server:
            answer = self._converse(server.url, lambda backend: self._get(backend, self._request(backend)))
        if not isinstance(answer.text, str) or (self.supports.http and answer.text != text):
            self.fail(f"the answer's text is {clip(answer.text)}", "return what was answered, unchanged")

    def test_what_is_sent_is_what_was_encoded(self) -> None:
        """The server gets the bytes of `encode`, once."""
        self._need_http()

        async def talk(backend: Backend[Any]) -> bytes:
            request = self._request(backend, sampling={"temperature": 0.25})
            await self._get(backend, request)
            return request.body

        with self._serving() as server:
            body = self._converse(server.url, talk)
            sent = [one.raw for one in server.requests if one.method == "POST"]
        if sent != [body]:
            self.fail(f"encoded was {clip(body)}, the server got {clip(sent)}", "send `request.body` as it is, once")

    def test_hostile_answers_are_kept_as_they_are(self) -> None:
        """Text comes back letter by letter: half surrogates, NUL, line separators, markup, ends of lines."""
        self._need_http()
        for text in ("a\ud800b\0c\u2028d\u202ee", " \r\n\t x \n", "<script>&amp;</script>", "\ufeff{}", "e\u0301"):
            with self._serving(self._answer_all(text)) as server:
                answer = self._converse(server.url, lambda backend: self._get(backend, self._request(backend)))
            if answer.text != text:
                self.fail(f"the server said {clip(text)}, the answer is {clip(answer.text)}", "strip and mend nothing")

    def test_usage_is_reported(self) -> None:
        """The tokens that the server counts are in the answer; where none are declared, none are."""
        with self._serving() as server:
            answer = self._converse(server.url, lambda backend: self._get(backend, self._request(backend)))
        counts = self.read_usage(answer)
        if self.supports.usage and not all(isinstance(count, int) and count >= 0 for count in counts):
            self.fail(f"the usage is {answer.usage!r}", "return Usage(input_tokens, output_tokens) of the reply")
        if not self.supports.usage and counts != (None, None):
            self.fail(f"the usage is {answer.usage!r}, and usage=False is declared", "declare usage=True")

    def test_a_seed_is_honoured(self) -> None:
        """A seed is sent; in the process, equal seeds give equal answers."""
        if not self.supports.seed:
            self.skip("declared as one that honours no seed")
        self._check_sampling("seed", _SEED)

    def test_stop_strings_are_honoured(self) -> None:
        """Stop strings are sent; in the process, the answer ends before one."""
        if not self.supports.stop:
            self.skip("declared as one that honours no stop strings")
        if self.supports.http:
            self._check_sampling("stop", [_STOP])
            return

        async def talk(backend: Backend[Any]) -> tuple[str, str, str]:
            text = str((await self._get(backend, self._request(backend))).text)
            words = text.split()
            word = words[len(words) // 2] if words else ""
            if len(words) < 2:  # noqa: PLR2004
                self.fail(f"the first prompt is answered with {clip(text)}", "give a first prompt with longer answers")
            again = await self._get(backend, self._request(backend, sampling={"stop": [word]}))
            return text, word, str(again.text)

        text, word, stopped = self._converse(_NOWHERE, talk)
        if word in stopped:
            self.fail(f"{clip(text)} became {clip(stopped)} with the stop string {word!r}", "end the text before it")

    def test_a_schema_is_honoured(self) -> None:
        """A prompt's JSON Schema is sent; in the process, the answer satisfies it."""
        if not self.supports.schema:
            self.skip("declared as one that constrains no answer")
        first = self._list_prompts()[0]
        prompt = Prompt(first.messages, first.text, self.schema)
        if self.supports.http:
            body = self.make_backend().encode(prompt, self.sampling)
            if b"colour" not in body:
                self.fail(f"the schema is not in {clip(body)}", "send `prompt.schema`, or declare schema=False")
            return
        answer = self._converse(_NOWHERE, lambda backend: self._get(backend, self._request(backend, prompt)))
        try:
            value = json.loads(answer.text or "")
        except ValueError:
            value = None
        if not isinstance(value, dict) or set(value) != {"colour"} or not isinstance(value["colour"], str):
            self.fail(
                f"the answer to a prompt with a schema is {clip(answer.text)}", "constrain it, or say schema=False"
            )

    def _check_sampling(self, name: str, value: Any) -> None:
        if self.supports.http:
            body = self.make_backend().encode(self._list_prompts()[0], {**self.sampling, name: value})
            if json.dumps(value).strip('[]"').encode() not in body:
                self.fail(f"{name}={value!r} is not in {clip(body)}", f"send it, or declare {name}=False")
            return

        async def talk(backend: Backend[Any]) -> str | None:
            return (await self._get(backend, self._request(backend, sampling={name: value}))).text

        texts = [self._converse(_NOWHERE, talk) for _ in range(2)]
        if texts[0] != texts[1]:
            self.fail(f"two calls with {name}={value!r} gave {clip(texts[0])} and {clip(texts[1])}", "make them equal")

    # Several calls.

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

        with self._serving(lambda _: Reply(delay=_LONG)) as server:
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
            wanted = self._converse(_NOWHERE, lambda backend: self._ask_one_by_one(backend, prompts))
            found = self._converse(_NOWHERE, lambda backend: self._ask_at_once(backend, prompts))
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

    # Ends.

    def test_a_cancelled_call_ends(self) -> None:
        """A call that is cancelled ends at once, and the backend goes on to answer others."""
        if not self.supports.http and self.slow is None:
            self.fail("nobody has looked at cancelling", "give `slow`, with which an answer takes over a second")
        first = iter([Reply(delay=10 * _LONG)])
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
        await (self._wait_until(started) if started else asyncio.sleep(_SHORT))
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
            return await self._ask(backend, self._request(backend, timeout=_SHORT))

        with self._serving(lambda _: Reply(delay=10 * _LONG)) as server:
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

    # Failures.

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One case for each fault of the catalogue."""
        if "fault" in metafunc.fixturenames:
            metafunc.parametrize("fault", self.faults.values() if self.supports.http else (), ids=lambda one: one.name)

    def test_every_fault_is_looked_at(self) -> None:
        """Each fault of the catalogue is tried, or there is a reason why not; in the process, some call fails."""
        if not self.supports.http:
            if not self.failures:
                self.fail("nobody has looked at how it fails", "give `failures`: calls that fail, with their causes")
            return
        for name in FAULTS:
            if name not in self.faults and not self.inapplicable.get(name, "").strip():
                self.fail(
                    f"nobody has looked at the fault {name!r}", "add it to `faults`, or say in `inapplicable` why"
                )

    def test_fault(self, fault: Fault) -> None:
        """What the backend makes of one fault: cause, wait, whether it stops and whether it may be billed."""
        if fault.name in self.inapplicable:
            self.skip(f"{fault.name}: {self.inapplicable[fault.name]}")
        paused: list[float] = []

        async def talk(backend: Backend[Any]) -> Answer | BackendError:
            backend.pause = paused.append
            return await self._ask(backend, self._request(backend, timeout=_SHORT if fault.slow else _LONG))

        with self._serving([fault]) as server:
            said = self._converse(server.url, talk)
        if len(server.requests) != 1:
            self.fail(f"{fault.what}: it sent {len(server.requests)} requests", "send once: the engine retries")
        if server.fired != {fault.name: 1}:
            self.fail(f"{fault.what}: the server was not asked", "ask the address of `make_address`")
        self._check_said(fault, said)
        wanted = [] if fault.pause is None else [fault.pause]
        if paused != wanted:
            self.fail(f"{fault.what}: it called pause with {paused}, not {wanted}", "call self.pause(seconds)")

    def _check_said(self, fault: Fault, said: Answer | BackendError) -> None:
        if fault.cause is None:
            if not isinstance(said, Answer):
                self.fail(f"{fault.what}: it failed with {said.cause}: {said}", "it is an answer: return it")
            return
        if not isinstance(said, BackendError):
            self.fail(f"{fault.what}: it answered {clip(said)}", f"raise BackendError(Cause.{fault.cause.name}, ...)")
        for name in ("cause", "retry_after", "stops_member", "maybe_billed"):
            if getattr(said, name) != getattr(fault, name):
                self.fail(
                    f"{fault.what}: {name} is {getattr(said, name)!r}, not {getattr(fault, name)!r}: {said.message}",
                    f"see {name} of BackendError, and docs/reference/faults.md",
                )
        if not said.message.strip():
            self.fail(f"{fault.what}: the error has no text", "say what the server did")

    def test_failures_in_the_process(self) -> None:
        """Without HTTP: each call that the class says fails does so, with its cause."""
        if self.supports.http:
            self.skip("its server has the faults")
        for failure in self.failures:
            said = self._run(self._fail_once(failure))
            what = f"{dict(failure.config)!r}, {failure.prompt or 'the first prompt'}"
            if not isinstance(said, BackendError):
                self.fail(f"{what}: it answered {clip(said)}", f"raise BackendError(Cause.{failure.cause.name}, ...)")
            for name in ("cause", "stops_member", "maybe_billed"):
                if getattr(said, name) != getattr(failure, name):
                    self.fail(f"{what}: {name} is {getattr(said, name)!r}: {said}", f"{getattr(failure, name)!r}")
            if not said.message.strip():
                self.fail(f"{what}: the error has no text", "say what is wrong")

    async def _fail_once(self, failure: Failure) -> Answer | BackendError:
        backend = self.make_backend(_NOWHERE, failure.config)
        try:
            await backend.open()
            request = self._request(backend, failure.prompt, sampling=failure.sampling, timeout=failure.timeout)
            return await self._ask(backend, request)
        except BackendError as error:
            return error
        finally:
            await backend.aclose()

    def test_errors_survive_pickling(self) -> None:
        """An error of a call is the same in another process."""

        async def talk(backend: Backend[Any]) -> Answer | BackendError:
            return await self._ask(backend, self._request(backend))

        if self.supports.http:
            with self._serving([self.faults["status-429"]]) as server:
                said = self._converse(server.url, talk)
        else:
            if not self.failures:
                self.fail("nobody has looked at how it fails", "give `failures`: calls that fail, with their causes")
            said = self._run(self._fail_once(self.failures[0]))
        with self.explaining("its error cannot be pickled", "let it hold plain values"):
            again = pickle.loads(pickle.dumps(said))  # noqa: S301 - our own bytes
        if str(again) != str(said) or getattr(again, "cause", None) != getattr(said, "cause", None):
            self.fail(f"{said!r} became {again!r}", "let it hold plain values")

    # The key.

    def test_redirects_are_not_followed(self) -> None:
        """A redirect is an error, and the other server gets nothing."""
        self._need_http()
        for status in (301, 302, 303, 307, 308):
            with ScriptedServer() as other, self._serving([make_redirect(status, other.url)]) as server:
                said = self._converse(server.url, lambda backend: self._ask(backend, self._request(backend)))
                asked = list(other.requests)
            if asked:
                self.fail(f"{status} took it to another server", "follow no redirect: it would send the key there")
            if not isinstance(said, BackendError):
                self.fail(
                    f"{status} gave {clip(said)}", "raise BackendError(Cause.BAD_REQUEST, ..., stops_member=True)"
                )

    def test_the_key_is_sent(self) -> None:
        """The key of the environment reaches the server in a header, and stands neither in the body nor the address."""
        self._need_key()
        with self._serving() as server:
            self._converse(server.url, lambda backend: self._get(backend, self._request(backend)))
        (sent,) = server.requests
        if not any(Canary.value in value for value in sent.headers.values()):
            self.fail(f"no header has the key of the variable {KEY_VARIABLE}", f"read env:{KEY_VARIABLE} in open()")
        if Canary.value.encode() in sent.raw or Canary.value in sent.path:
            self.fail("the key stands in the body or the path", "send it in a header alone")

    def test_the_key_is_nowhere_to_be_seen(self) -> None:
        """No text, dump, pickle or attribute of an open or closed backend has the key."""
        self._need_key()

        async def talk(backend: Backend[Any]) -> list[tuple[str, str]]:
            await self._get(backend, self._request(backend))
            return list(_show(backend))

        with self._serving() as server, watch_secrets() as written:
            shown = self._converse(server.url, talk)
        for what, text in [*shown, *written.items()]:
            if spelling := Canary.find(text):
                self.fail(f"{what} has the key, as {spelling}", "wrap it in an object whose repr and pickle hide it")

    def test_no_error_or_log_has_the_key(self) -> None:
        """A server that repeats the key in replies of every kind puts it into no error and no log."""
        self._need_key()
        for what, reply in Canary.make_leaks(self).items():
            with self._serving([reply]) as server, watch_secrets() as written:
                said = self._converse(server.url, lambda backend: self._ask(backend, self._request(backend)))
            texts = {"the error": _tell(said), **written} if isinstance(said, BackendError) else dict(written)
            for where, text in texts.items():
                if spelling := Canary.find(text):
                    self.fail(f"{what}: {where} has the key, as {spelling}", "mask it in all that comes from a server")

    def test_a_missing_key_is_told(self) -> None:
        """Without its key, `open` raises `BackendError` with the cause `auth`, and says where the key should be."""
        self._need_key()

        async def run() -> BackendError | None:
            backend = self.make_backend()
            try:
                await backend.open()
            except BackendError as error:
                return error
            finally:
                await backend.aclose()
            return None

        with Canary(present=False):
            error = self._run(run())
        if error is None or error.cause is not Cause.AUTH:
            self.fail(f"open gave {error!r}", "raise BackendError(Cause.AUTH, ...) where there is no key")
        if KEY_VARIABLE not in str(error):
            self.fail(f"{error} does not say where the key should be", f"name the variable {KEY_VARIABLE}")

    def test_a_rotated_key_is_read_again(self) -> None:
        """`refresh` says whether the key is another one now, and sends that from then on."""
        self._need_key()

        async def talk(backend: Backend[Any]) -> tuple[bool, bool]:
            same = await backend.refresh()
            with Canary(rotated=True):
                other = await backend.refresh()
                await self._get(backend, self._request(backend))
            return same, other

        with self._serving() as server:
            same, other = self._converse(server.url, talk)
        if same or not other:
            self.fail(f"refresh gave {same} for the same key and {other} for another one", "compare them")
        if not any(Canary.rotated in value for value in server.requests[-1].headers.values()):
            self.fail("after refresh the old key is sent", "use the key that was read last")

    # Other processes.

    def test_it_works_in_another_process(self) -> None:
        """It can be pickled before it is open, and answers in a worker as it does here; no key is in the pickle."""
        with self._serving() as server:
            backend = self.make_backend(server.url)
            request = self._request(backend)
            here = self._converse(server.url, lambda backend: self._get(backend, request))
            there = self.call_elsewhere("the backend", _answer, backend, request)
        if here.text != there:
            self.fail(f"it answers {clip(here.text)}, and in another process {clip(there)}", "keep no state outside")

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for what another thread does, as long as `patience`."""
        try:
            async with asyncio.timeout(self.patience / 2):
                while not condition():  # noqa: ASYNC110 - another thread makes it true
                    await asyncio.sleep(0.005)
        except TimeoutError:
            return


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


def _show(backend: Backend[Any]) -> Iterator[tuple[str, str]]:
    """All that could be printed of a backend."""
    yield "its repr", repr(backend)
    yield "its text", str(backend)
    yield "its configuration", f"{backend.config!r} {backend.config.model_dump()} {backend.config.model_dump_json()}"
    yield "one of its names", " ".join((backend.model, backend.endpoint, backend.identity, backend.quota))
    yield "describe_headers()", repr(dict(backend.describe_headers()))
    yield "the repr of an attribute", repr(vars(backend))
    try:
        yield "its pickle", pickle.dumps(backend).decode("latin-1")
    except Exception:  # noqa: BLE001 - what is open need not be picklable
        return


def _tell(error: BackendError) -> str:
    """All that an error shows, and those that it came from."""
    texts = []
    seen: BaseException | None = error
    while seen is not None:
        texts += [str(seen), repr(seen), repr(vars(seen))]
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "\n".join(texts)
