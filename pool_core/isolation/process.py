"""The inside of a backend's process: opens the backend, and answers until the owner closes it or is gone."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import sys
from collections.abc import Coroutine
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, NoReturn

import msgspec

from pool_core.interfaces.backend import Backend
from pool_core.interfaces.encoding import encode_answer
from pool_core.interfaces.values import Answer
from pool_core.isolation.frames import receive_frame, send_frame
from pool_core.isolation.interpreter import take_channel
from pool_core.isolation.messages import (
    Ask,
    Beat,
    Cancel,
    Close,
    Closed,
    Durable,
    Failure,
    FromChild,
    Load,
    Loaded,
    Pause,
    Refresh,
    Refreshed,
    Reply,
    SentBackend,
    ToChild,
    decode_request,
    make_failure,
)

__all__ = ["run"]

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ToChild)


def run() -> NoReturn:
    """Be a backend's process, and end without waiting for threads that the backend may have left."""
    channel = take_channel()
    _start_guard(channel)
    asyncio.run(_Host(_Channel(channel)).serve())
    sys.stderr.flush()
    os._exit(0)


class _Channel:
    """The socket to the owner. Without an owner this process has no purpose."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = Lock()

    def send(self, message: FromChild) -> None:
        """Send a message; any thread may."""
        data = _encoder.encode(message)
        try:
            with self._sending:
                send_frame(self._connection, data)
        except OSError:
            _end_all()

    def receive(self) -> ToChild:
        """Wait for the next message."""
        try:
            frame = receive_frame(self._connection)
        except OSError:
            frame = None
        if frame is None:
            _end_all()
        message: ToChild = _decoder.decode(frame)
        return message


class _Host:
    """Runs one backend on an event loop. Two threads serve it: one reads messages, one gives signs of life."""

    def __init__(self, channel: _Channel) -> None:
        self._channel = channel
        self._messages: asyncio.Queue[ToChild] = asyncio.Queue()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._backend: Backend[Any] | None = None
        #: What went wrong that nobody waited for; it is told at the end.
        self._problem: Failure | None = None

    async def serve(self) -> None:
        """Serve until the owner says `Close`."""
        loop = asyncio.get_running_loop()
        Thread(target=self._read, args=(loop,), daemon=True).start()
        first = await self._messages.get()
        assert isinstance(first, Load)
        Thread(target=self._beat, args=(first.beat,), daemon=True).start()
        self._channel.send(Loaded(await self._load(first)))
        while not isinstance(message := await self._messages.get(), Close):
            match message:
                case Ask(id_, data):
                    self._start(id_, self._answer(id_, data))
                case Refresh(id_):
                    self._start(id_, self._refresh(id_))
                case Cancel(id_) if id_ in self._tasks:
                    self._tasks[id_].cancel()
                case Durable():
                    self._note_durable()
        self._channel.send(Closed(await self._close()))

    async def _load(self, load: Load) -> Failure | None:
        try:
            self._backend = _make_backend(load.backend)
            self._backend.pause = lambda seconds: self._channel.send(Pause(float(seconds)))
            self._backend.folder = Path(load.folder) if load.folder else None
            await self._backend.open()
        except BaseException as error:  # noqa: BLE001 - told to the owner
            return make_failure(error)
        return None

    async def _close(self) -> Failure | None:
        for task in self._tasks.values():
            task.cancel()
        try:
            if self._backend is not None:
                await self._backend.aclose()
        except BaseException as error:  # noqa: BLE001 - told to the owner
            return make_failure(error)
        return self._problem

    def _note_durable(self) -> None:
        assert self._backend is not None
        try:
            self._backend.note_durable()
        except BaseException as error:  # noqa: BLE001 - told to the owner
            self._problem = self._problem or make_failure(error)

    def _start(self, id_: int, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks[id_] = task
        task.add_done_callback(lambda done: self._end(id_, done))

    def _end(self, id_: int, task: asyncio.Task[None]) -> None:
        del self._tasks[id_]
        if task.cancelled():  # before it began
            self._channel.send(Reply(id_))

    async def _answer(self, id_: int, data: bytes) -> None:
        assert self._backend is not None
        try:
            answer = await self._backend.generate(decode_request(data))
            if isinstance(answer, Answer):
                reply = Reply(id_, encode_answer(answer))
            else:
                reply = Reply(id_, failure=Failure(f"it returned {type(answer).__name__} instead of Answer"))
        except asyncio.CancelledError as error:
            given_up = bool(self._tasks[id_].cancelling())  # else the backend raised it of its own accord
            reply = Reply(id_) if given_up else Reply(id_, failure=make_failure(error))
        except BaseException as error:  # noqa: BLE001 - told to the owner
            reply = Reply(id_, failure=make_failure(error))
        self._channel.send(reply)

    async def _refresh(self, id_: int) -> None:
        assert self._backend is not None
        try:
            reply = Refreshed(id_, bool(await self._backend.refresh()))
        except BaseException as error:  # noqa: BLE001 - told to the owner
            reply = Refreshed(id_, failure=make_failure(error))
        self._channel.send(reply)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            message = self._channel.receive()
            with suppress(RuntimeError):  # the loop has ended, and the process is about to
                loop.call_soon_threadsafe(self._messages.put_nowait, message)

    def _beat(self, seconds: float) -> None:
        never = Event()
        while not never.wait(seconds):
            self._channel.send(Beat())


def _make_backend(sent: SentBackend) -> Backend[Any]:
    """The backend and those inside of it, made anew from their configurations."""
    factory: Any = import_module(sent.module)
    for part in sent.attribute.split("."):
        factory = getattr(factory, part)
    config = factory.Config.model_validate_json(sent.config)
    backend: Backend[Any] = factory.build(config, {name: _make_backend(each) for name, each in sent.inner.items()})
    return backend


def _start_guard(channel: socket.socket) -> None:
    """Have a process beside this one end all that this one has started, and this one, once it or its owner is gone.

    It may not come to that itself, while C code holds up its threads or when it is killed. What it has started, such
    as an engine that holds a GPU's memory, would go on for ever. The kernel's own way, a signal at the parent's death,
    ends this process alone.
    """
    backend = os.getpid()
    if os.fork():
        return
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # meant for the backend
        ends = select.poll()
        ends.register(channel, 0)  # the other end's closing, not what can be read
        if sys.platform == "linux":
            with suppress(ProcessLookupError):
                ends.register(os.pidfd_open(backend), select.POLLIN)
                ends.poll()
        else:
            ends.poll()
        os.killpg(0, signal.SIGKILL)
    finally:
        os._exit(1)


def _end_all() -> NoReturn:
    """End this process and what it has started."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)
