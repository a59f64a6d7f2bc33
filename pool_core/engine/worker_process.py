"""The inside of a worker process: runs heavy tasks, one call at a time, and may die of any of them.

Calls come over the socket that stands where standard input was. They are pickled by the process that
has started this one; replies are JSON, so nothing that a task makes is unpickled there.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

from pool_core.errors import TemplateError
from pool_core.interfaces.encoding import encode_json
from pool_core.interfaces.task import Task
from pool_core.interfaces.values import Answer, Cause, Outcome, Row
from pool_core.isolation.frames import receive_frame, send_frame
from pool_core.isolation.interpreter import take_channel
from pool_core.plan.adapt import Adapter
from pool_core.plan.cells import parse_answer, render_prompt
from pool_core.watchdog import describe_error
from pool_core.watchdog.memory import read_virtual

__all__ = ["LAST", "MORE", "Call", "Load", "SentTask", "run"]

#: What a reply begins with: whether the process answers further calls.
MORE, LAST = b"+", b"."
#: Seconds after a call's deadline at which the process ends itself, should its owner have died.
_GRACE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class SentTask:
    """A task on its way: what makes it, or the object itself where Python gave one."""

    task_name: str
    adapter: Adapter
    factory: type[Task[Any]] | None
    config: Any
    instance: Task[Any] | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """Load a task under a number."""

    number: int
    #: A pickled `SentTask`, apart: what it needs may not be importable here.
    sent: bytes


@dataclass(frozen=True, slots=True)
class Call:
    """Render a row; with an answer, parse it."""

    number: int
    row: Row
    answer: Answer | None
    #: Seconds and mebibytes that it may take.
    seconds: float
    memory: int


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A task that was loaded. It has what `render_prompt` and `parse_answer` need."""

    task: Task[Any]
    task_name: str
    adapter: Adapter


class _Memory:
    """Bounds the address space, so that a call that eats memory gets a `MemoryError`. Linux alone tells its size."""

    def __init__(self) -> None:
        self._before = read_virtual()

    def note_loaded(self) -> None:
        """What is in use now is what the tasks need; calls get their share on top."""
        self._bound(None)
        self._before = read_virtual()

    def bound_call(self, mebibytes: int) -> None:
        if self._before is not None:
            self._bound(self._before + (mebibytes << 20))

    def has_leaked(self, mebibytes: int) -> bool:
        """Whether so much is left in use after a call that later ones would miss it."""
        now = read_virtual()
        return now is not None and self._before is not None and now - self._before > mebibytes << 19

    def _bound(self, size: int | None) -> None:
        import resource  # noqa: PLC0415 - POSIX alone has it, as it has workers

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (most if size is None else size, most))


def run() -> NoReturn:
    """Be a worker process, and end without waiting for threads that a task may have left."""
    channel = take_channel()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _answer_calls(channel)
    os._exit(0)


def _answer_calls(channel: socket.socket) -> None:
    """Answer until the owner closes the socket, or a call has left too little memory for the next."""
    tasks: dict[int, _Loaded] = {}
    memory = _Memory()
    while (frame := receive_frame(channel)) is not None:
        message = pickle.loads(frame)  # noqa: S301 - of the process that has started this one
        if isinstance(message, Load):
            send_frame(channel, MORE + _load(message, tasks))
            memory.note_loaded()
            continue
        memory.bound_call(message.memory)
        signal.setitimer(signal.ITIMER_REAL, message.seconds + _GRACE_SECONDS)
        reply = _answer(message, tasks[message.number])
        signal.setitimer(signal.ITIMER_REAL, 0)
        last = memory.has_leaked(message.memory)
        send_frame(channel, (LAST if last else MORE) + reply)
        if last:
            return


def _load(message: Load, tasks: dict[int, _Loaded]) -> bytes:
    try:
        sent: SentTask = pickle.loads(message.sent)  # noqa: S301 - as above
        task = sent.instance if sent.factory is None else sent.factory(sent.config)
        assert task is not None
        tasks[message.number] = _Loaded(task, sent.task_name, sent.adapter)
    except BaseException as error:  # noqa: BLE001 - told to the owner
        return encode_json({"broken": describe_error(error)})
    return encode_json({"broken": ""})


def _answer(call: Call, member: _Loaded) -> bytes:
    try:
        if call.answer is None:
            return encode_json({"prompt": asdict(render_prompt(member, call.row))})
        return _encode_outcome(parse_answer(member, call.answer, call.row))
    except TemplateError as error:
        return encode_json({"error": {"message": error.message, "where": error.where, "hint": error.hint}})
    except BaseException as error:  # noqa: BLE001 - told to the owner
        return encode_json({"broken": f"broke: {describe_error(error)}"})


def _encode_outcome(outcome: Outcome) -> bytes:
    values = {"status": outcome.status, "cause": outcome.cause, "message": outcome.message, "outputs": outcome.outputs}
    try:
        return encode_json(values)
    except Exception as error:  # noqa: BLE001 - a broken task costs its cell, never the run
        broken = f"the output fields cannot be stored: {describe_error(error)}"
        return encode_json({"status": "failed", "cause": Cause.SCHEMA, "message": broken, "outputs": None})
