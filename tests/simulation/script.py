"""The backend and the task of a simulated member: they do as the world says, and write down what was asked."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, ClassVar, NoReturn

from history import Call, Recorder
from pydantic import BaseModel
from worlds import ANSWER_FAULTS, CALL_FAULTS, ROW_FAULTS, MemberSpec

from pool_core.errors import BackendError, ParseError, TemplateError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.task import Task
from pool_core.interfaces.values import Answer, Capabilities, Cause, Prompt, Request, Row, Usage
from pool_core.testing.world import ModelServer

__all__ = ["SimulatedBackend", "SimulatedTask", "draw_fault"]

#: Seconds until something in front of the server refuses a call.
REFUSAL = 0.02
#: What is wrong with a call that the server itself never sees.
_BEFORE = {
    "transport": BackendError(Cause.TRANSPORT, "connection refused"),
    "server": BackendError(Cause.SERVER, "internal error"),
    "overloaded": BackendError(Cause.OVERLOADED, "overloaded"),
    "overloaded-wait": BackendError(Cause.OVERLOADED, "overloaded", retry_after=3.0),
    "rate": BackendError(Cause.RATE_LIMIT, "slow down"),
    "rate-wait": BackendError(Cause.RATE_LIMIT, "slow down", retry_after=4.0),
    "rate-zero": BackendError(Cause.RATE_LIMIT, "slow down", retry_after=0.0),
    "plugin": ValueError("a bug"),
    "self-cancel": asyncio.CancelledError(),
    "system-exit": SystemExit(3),
    "auth": BackendError(Cause.AUTH, "the key is refused"),
    "rotated": BackendError(Cause.AUTH, "the key is refused"),
    "unknown-model": BackendError(Cause.BAD_REQUEST, "no such model", stops_member=True),
    "no-credit": BackendError(Cause.QUOTA_EXHAUSTED, "no credit left"),
    "day-long-wait": BackendError(Cause.RATE_LIMIT, "come back tomorrow", retry_after=86_400.0),
}
#: What is wrong in the place of the answer that the server has made.
_AFTER = {
    "cut": BackendError(Cause.TRANSPORT, "connection reset", maybe_billed=True),
    "bad-reply": BackendError(Cause.BAD_REPLY, "no JSON", maybe_billed=True),
    "timeout-error": TimeoutError("the socket's own"),
    "bad-request": BackendError(Cause.BAD_REQUEST, "never"),
    "too-long": BackendError(Cause.CONTEXT_LENGTH, "too long"),
}


def draw_fault(kinds: tuple[str, ...], shares: Mapping[str, float], *place: object) -> str:
    """The kind of fault at a place, empty for none: the same whenever it is asked for."""
    if not shares:
        return ""
    drawn = int.from_bytes(blake2b(repr(place).encode(), digest_size=7).digest(), "big") / (1 << 56)
    for kind in kinds:
        drawn -= shares.get(kind, 0.0)
        if drawn < 0:
            return kind
    return ""


class TaskConfig(PluginConfig):
    """Configuration of `SimulatedTask`."""

    prompt_version: int = 1
    parser_version: int = 1


class Said(BaseModel):
    """Output of `SimulatedTask`."""

    said: str


class SimulatedTask(Task[TaskConfig]):
    """Asks what a row says, and knows an answer to another row."""

    Config: ClassVar[type[BaseModel]] = TaskConfig
    Output: ClassVar[type[BaseModel]] = Said

    def __init__(self, spec: MemberSpec, seed: int, recorder: Recorder) -> None:
        super().__init__(TaskConfig(prompt_version=spec.prompt_version, parser_version=spec.parser_version))
        self._spec = spec
        self._seed = seed
        self._fired = recorder.history.fired

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("text",)

    def render(self, row: Row) -> Prompt:
        text = row["text"]
        if draw_fault(ROW_FAULTS, self._spec.row_faults, self._seed, self._spec.name, text) == "unrenderable":
            self._fired["unrenderable"] += 1
            raise TemplateError("this row yields no prompt")
        return Prompt.chat(f"{text} v{self.config.prompt_version}")

    def parse(self, answer: Answer, row: Row) -> BaseModel:
        text = answer.text or ""
        told, _, kind = text.partition("#")
        if told != row["text"]:
            raise AssertionError(f"the answer to {told!r} was read for {row['text']!r}")
        if kind == "unreadable" and self.config.parser_version < 2:
            raise ParseError("unreadable")
        if kind == "broken-parser":
            raise RecursionError("deep")
        if kind == "wrong-schema":
            return TaskConfig()
        return Said(said=f"{told} read by {self.config.parser_version}")


class BackendConfig(PluginConfig):
    """Configuration of `SimulatedBackend`."""

    model: str


class SimulatedBackend(Backend[BackendConfig]):
    """Asks a server of the world, and has the faults of its member."""

    Config: ClassVar[type[BaseModel]] = BackendConfig

    def __init__(self, spec: MemberSpec, seed: int, server: ModelServer, recorder: Recorder) -> None:
        super().__init__(BackendConfig(model=f"model-{spec.name}"))
        self._spec = spec
        self._seed = seed
        self._server = server
        self._recorder = recorder
        self._fired = recorder.history.fired
        self._start = len(recorder.history.starts) - 1
        #: Calls so far by what was asked.
        self._asked: Counter[tuple[str, int]] = Counter()
        self._fresh_key = False
        #: Called as each answer leaves.
        self.on_answer: Callable[[], None] | None = None

    @classmethod
    def capabilities(cls, config: Any, inner: Any) -> Capabilities:
        return Capabilities(seed=True)

    @property
    def model(self) -> str:
        return self.config.model

    @property
    def endpoint(self) -> str:
        return f"world:{self._server.name}/{self._spec.name}"

    @property
    def quota(self) -> str:
        return f"world:{self._server.name}/{self._spec.key}"

    def encode(self, prompt: Prompt, sampling: Mapping[str, Any]) -> bytes:
        text = _find_text(prompt)
        if draw_fault(ROW_FAULTS, self._spec.row_faults, self._seed, self._spec.name, text) == "unsendable":
            self._fired["unsendable"] += 1
            raise BackendError(Cause.CONTEXT_LENGTH, "it can be seen that this is too long")
        return super().encode(prompt, sampling)

    async def open(self) -> None:
        match self._spec.opening:
            case "error":
                self._fired["open-error"] += 1
                raise BackendError(Cause.TRANSPORT, "no such host")
            case "exception":
                self._fired["open-exception"] += 1
                raise SystemExit(1)
            case "slow":
                self._fired["open-slow"] += 1
                await asyncio.sleep(50.0)

    async def aclose(self) -> None:
        match self._spec.closing:
            case "error":
                self._fired["close-error"] += 1
                raise ValueError("a bug")
            case "slow":
                self._fired["close-slow"] += 1
                await asyncio.sleep(1e9)

    async def refresh(self) -> bool:
        if self._spec.lasting is None or self._spec.lasting[0] != "rotated" or self._fresh_key:
            return False
        await asyncio.sleep(0.1)
        self._fresh_key = True
        return True

    async def generate(self, request: Request) -> Answer:
        call = self._note_call(request)
        try:
            answer = await self._answer(call, request)
        except BackendError as error:
            call.end, call.cause, call.retry_after = "failed", str(error.cause), error.retry_after
            call.stops_member, call.maybe_billed = error.stops_member, error.maybe_billed
            raise
        except asyncio.CancelledError:
            call.end = "broke" if call.kind == "self-cancel" else "cancelled"
            if self._spec.tidying and call.end == "cancelled":
                self._fired["tidying"] += 1
                await asyncio.sleep(self._spec.tidying)
            raise
        except BaseException:
            call.end = "broke"
            raise
        else:
            call.end = "answered" if isinstance(answer, Answer) else "broke"
            if call.end == "answered" and self.on_answer is not None:
                self.on_answer()
            return answer
        finally:
            call.ended, call.ended_at = self._recorder.take_moment(), asyncio.get_running_loop().time()

    def _note_call(self, request: Request) -> Call:
        now = asyncio.get_running_loop().time()
        text = _find_text(request.prompt)
        moment, spec = self._recorder.take_moment(), self._spec
        call = Call(moment, now, self._start, spec.name, self.quota, text, request.sample, request.body)
        self._recorder.history.calls.append(call)
        return call

    async def _answer(self, call: Call, request: Request) -> Answer:
        spec, place = self._spec, (call.text, call.sample)
        self._asked[place] += 1
        fault = self._find_lasting(call.sent_at)
        if not fault:
            fault = draw_fault(
                CALL_FAULTS, spec.call_faults, self._seed, self._start, spec.name, place, self._asked[place]
            )
        if fault in _BEFORE:
            await asyncio.sleep(REFUSAL)
            self._fail(call, fault)
        if fault == "no-answer":
            self._note_fault(call, fault)
            return "text"  # type: ignore[return-value]
        if fault == "hang":
            self._note_fault(call, fault)
            await asyncio.get_running_loop().create_future()
        made = await self._server.answer(prompt_tokens=len(request.body) // 4)
        fault = fault or draw_fault(ROW_FAULTS, spec.row_faults, self._seed, spec.name, call.text)
        if fault in _AFTER:
            self._fail(call, fault)
        return self._write_answer(call, made)

    def _find_lasting(self, now: float) -> str:
        lasting = self._spec.lasting
        if lasting is None or now < lasting[1] or (lasting[0] == "rotated" and self._fresh_key):
            return ""
        return lasting[0]

    def _note_fault(self, call: Call, fault: str) -> None:
        call.kind = fault
        self._fired[fault] += 1

    def _fail(self, call: Call, fault: str) -> NoReturn:
        self._note_fault(call, fault)
        error = _BEFORE.get(fault) or _AFTER[fault]
        if isinstance(error, BackendError):
            error = BackendError(
                error.cause,
                error.message,
                retry_after=error.retry_after,
                stops_member=error.stops_member,
                maybe_billed=error.maybe_billed,
            )
        else:
            error = type(error)(*error.args)  # a new one: what was raised remembers where
        raise error

    def _write_answer(self, call: Call, made: Answer) -> Answer:
        spec = self._spec
        place = (spec.name, spec.prompt_version, call.text, call.sample)
        self._recorder.told[place] += 1
        number = self._recorder.told[place]
        kind = draw_fault(ANSWER_FAULTS, spec.answer_faults, self._seed, place, number)
        if kind:
            self._fired[kind] += 1
        call.kind = kind or "good"
        if draw_fault(("pause",), {"pause": spec.pauses[0]}, self._seed, place, number):
            self._fired["pause"] += 1
            call.pause = spec.pauses[1]
            assert self.pause is not None
            self.pause(call.pause)
        text: str | None = f"{call.text}#{kind}"
        finish, refusal = "stop", None
        if kind == "empty":
            text = ""
        elif kind == "refusal":
            text, refusal = None, "I would rather not"
        elif kind == "filtered":
            finish = "content_filter"
        elif kind == "truncated":
            finish = "length"
        return Answer(text, finish, self._tell_usage(call, made.usage), str(call.sent), refusal)

    def _tell_usage(self, call: Call, usage: Usage | None) -> Usage | None:
        assert usage is not None
        match self._spec.usage:
            case "untold":
                self._fired["usage-untold"] += 1
                return None
            case "partly":
                self._fired["usage-partly"] += 1
                usage = Usage(usage.input_tokens, None)
            case "hostile":
                self._fired["usage-hostile"] += 1
                hostile: Any = (-5, 1 << 70, math.nan, "many", None)[call.sent % 5]
                call.usage = (usage.input_tokens, None)
                return Usage(usage.input_tokens, hostile)
        call.usage = (usage.input_tokens, usage.output_tokens)
        return usage


def _find_text(prompt: Prompt) -> str:
    """The text of the row that a prompt is made of."""
    content = prompt.messages[0].content
    assert isinstance(content, str)
    return content.rpartition(" v")[0]
