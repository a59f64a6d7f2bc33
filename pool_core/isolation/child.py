"""The outside of a backend's process: starts it, asks it, notices that it has ended or hangs, and ends it."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from pool_core.errors import BackendError
from pool_core.interfaces.encoding import decode_answer
from pool_core.interfaces.isolation import Isolation
from pool_core.interfaces.values import Answer, Cause, Request
from pool_core.isolation.messages import (
    Ask,
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
    encode_request,
)
from pool_core.isolation.owned import TERM_SECONDS, OwnedProcess

__all__ = ["Child"]

#: Seconds between two looks at the process.
TICK_SECONDS = 0.25
#: Seconds that a backend may take to close. With what a process has to end: less than the engine gives a backend.
CLOSE_SECONDS = 4.0
#: Seconds to wait for the kernel to end a killed process.
KILL_SECONDS = 3.0
#: A frame of more bytes is no message.
LARGEST_FRAME = 1 << 30

_LENGTH = struct.Struct(">Q")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(FromChild)


class Child:
    """One process with one backend in it. It is started once; another one takes its place.

    Lives on the event loop that `start` is called on, and needs nobody's attention: a task reads, another
    one looks at the process. However it ends, every call that waits is told, and then ``on_end`` is called.
    """

    def __init__(
        self,
        backend: SentBackend,
        isolation: Isolation,
        environment: Mapping[str, str],
        *,
        folder: Path | None,
        bills: bool,
        on_pause: Callable[[float], None],
        on_end: Callable[[], None],
    ) -> None:
        """Prepare to start.

        Args:
            folder: the run's, for what must outlive a kill.
            bills: whether a call may have been paid for though the process ended before it answered.
            on_pause: told the seconds in which the backend's quota takes no request.
            on_end: called once when it ends after it was open, unless `close` ends it; before those who wait are told.
        """
        self._backend = backend
        self._isolation = isolation
        self._environment = environment
        self._folder = folder
        self._bills = bills
        self._on_pause = on_pause
        self._on_end = on_end
        self._process: OwnedProcess | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: list[asyncio.Task[None]] = []
        #: Replies that are waited for, and how many seconds ago requests were given up that are not yet confirmed.
        self._waiting: dict[int, asyncio.Future[Reply | Refreshed]] = {}
        self._given_up: dict[int, float] = {}
        self._loaded: asyncio.Future[Loaded] | None = None
        self._closed: asyncio.Future[Closed] | None = None
        self._ids = 0
        #: Replies that have come, failures included; whether one was an answer to a request that was given up.
        self._replied = 0
        self._dropped = False
        #: Whether signs of life are due, and for how many seconds there was none.
        self._watched = False
        self._silent = 0.0
        #: How it ended, to follow "the process"; empty while it can be asked.
        self.ended = ""
        self._cause = Cause.TRANSPORT

    async def start(self) -> None:
        """Start the process and have it open the backend.

        Raises:
            BackendError: it does not, within the time that it has. The process is gone.
        """
        loop = asyncio.get_running_loop()
        self._loaded, self._closed = loop.create_future(), loop.create_future()
        try:
            await self._connect()
            folder = "" if self._folder is None else str(self._folder.absolute())
            self._send(Load(self._backend, min(1.0, self._isolation.silence / 4), folder))
            async with asyncio.timeout(self._isolation.load_timeout):
                loaded = await self._loaded
        except TimeoutError:
            await self._give_up(f"did not open it within {self._isolation.load_timeout:g} s")
            late = self._make_end()
            raise BackendError(Cause.TIMEOUT, late.message, hint="write isolate: {load_timeout: ...}") from None
        except BaseException:
            await asyncio.shield(self._give_up("was stopped while it started"))
            raise
        if loaded.failure is not None:
            await self._give_up("could not open it")
            raise self._make_error(loaded.failure)
        self._watched = True

    async def ask(self, request: Request) -> Answer:
        """Have the backend answer. Whoever cancels this gives the request up.

        Raises:
            BackendError: no answer, for the backend's reasons or since the process ended.
        """
        before = self._replied
        try:
            async with asyncio.timeout(request.timeout):
                reply = await self._call(lambda id_: Ask(id_, encode_request(request)))
        except TimeoutError:
            text = f"no answer within {request.timeout:g} s"
            if self._replied == before:  # nor to anybody else: waiting on would be for nothing
                self._end(f"gave no answer within {request.timeout:g} s", Cause.TIMEOUT)
                text += f"; the process of {self._backend.name} gave none to anybody and was ended"
            raise BackendError(Cause.TIMEOUT, text, maybe_billed=self._bills) from None
        assert isinstance(reply, Reply)
        if reply.failure is not None:
            raise self._make_error(reply.failure)
        if not reply.answer:
            raise BackendError(Cause.CANCELLED, f"the process of {self._backend.name} was closed meanwhile")
        return decode_answer(reply.answer)

    async def refresh(self) -> bool:
        """Have the backend read its key again. Raises `BackendError` as `pool_core.interfaces.backend` says."""
        reply = await self._call(Refresh)
        if reply.failure is not None:
            raise self._make_error(reply.failure)
        return isinstance(reply, Refreshed) and reply.changed

    def note_durable(self) -> None:
        """Tell the backend that its answers are durable. What goes wrong there is told when it is closed.

        It is not told where an answer may have crossed the word that its request was given up: nobody has that one.
        """
        if not self._dropped and not self._given_up:
            self._send(Durable())

    async def close(self) -> None:
        """Have the backend closed and end the process, by force where it does not. Returns within 8.5 seconds.

        Raises:
            BackendError: the backend could not be closed in order; the process is gone nevertheless.
        """
        problem = ""
        if not self.ended:
            self.ended, self._cause = "was closed", Cause.CANCELLED
            problem = await self._close_in_order()
        await self._give_up(self.ended)
        if problem:
            raise BackendError(Cause.PLUGIN, problem)

    async def _connect(self) -> None:
        self._process, channel = OwnedProcess.start("pool_core.isolation.process", self._environment)
        try:
            reader, self._writer = await asyncio.open_connection(sock=channel)
        except BaseException:
            channel.close()
            raise
        work = (self._read(reader, self._process), self._watch(self._process), self._process.keep_lines())
        self._tasks = [asyncio.ensure_future(each) for each in work]

    async def _call(self, make: Callable[[int], ToChild]) -> Reply | Refreshed:
        if self.ended:
            raise self._make_end(sent=False)
        self._ids += 1
        id_, loop = self._ids, asyncio.get_running_loop()
        future: asyncio.Future[Reply | Refreshed] = loop.create_future()
        self._send(make(id_))
        self._waiting[id_] = future
        try:
            return await future
        finally:
            self._waiting.pop(id_, None)
            if not future.done() or future.cancelled():
                self._given_up[id_] = 0.0
                self._send(Cancel(id_))

    def _send(self, message: ToChild) -> None:
        data = _encoder.encode(message)
        if self._writer is not None and not self.ended:
            self._writer.write(_LENGTH.pack(len(data)) + data)

    async def _read(self, reader: asyncio.StreamReader, process: OwnedProcess) -> None:
        """Take what the process says until it says nothing more."""
        try:
            while True:
                (size,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                if size > LARGEST_FRAME:
                    self._end(f"sent a frame of {size:,} bytes, which is no message")
                    return
                self._take(_decoder.decode(await reader.readexactly(size)))
        except msgspec.MsgspecError as error:
            self._end(f"sent what is no message: {error}")
        except (asyncio.IncompleteReadError, OSError):
            self._end(await process.describe_end())

    def _take(self, message: FromChild) -> None:
        self._silent = 0.0
        match message:
            case Loaded() if self._loaded is not None and not self._loaded.done():
                self._loaded.set_result(message)
            case Closed() if self._closed is not None and not self._closed.done():
                self._closed.set_result(message)
            case Pause(seconds):
                self._on_pause(seconds)
            case Reply(id_) | Refreshed(id_):
                self._given_up.pop(id_, None)
                self._replied += not isinstance(message, Reply) or bool(message.answer or message.failure)
                future = self._waiting.get(id_)
                if future is not None and not future.done():
                    future.set_result(message)
                elif isinstance(message, Reply) and message.answer:
                    self._dropped = True

    async def _watch(self, process: OwnedProcess) -> None:
        """Notice that the process has ended, is silent, or does not react. Counts looks and not the clock: when this
        process was stopped itself, or its loop was held up, the other's messages are still to be read."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if process.has_exited():
                await asyncio.sleep(TICK_SECONDS)  # what it said before is read first
                self._end(await process.describe_end())
                return
            if not self._watched:
                continue
            self._silent += TICK_SECONDS
            self._given_up = {id_: seconds + TICK_SECONDS for id_, seconds in self._given_up.items()}
            most = self._isolation.silence
            if self._silent > most:
                self._end(f"gave no sign of life for {most:g} s", Cause.TIMEOUT)
                return
            if any(seconds > most for seconds in self._given_up.values()):
                self._end(f"did not react for {most:g} s", Cause.TIMEOUT)
                return

    def _end(self, reason: str, cause: Cause = Cause.TRANSPORT) -> None:
        """Note that it cannot be asked any more, kill it, and tell those who wait."""
        if self._process is not None:
            self._process.kill()
        if not self.ended:
            self.ended, self._cause = reason, cause
            if self._watched:
                self._on_end()
        self._tell_waiting()

    def _tell_waiting(self) -> None:
        error = self._make_end()
        for future in [self._loaded, self._closed, *self._waiting.values()]:
            if future is not None and not future.done():
                future.set_exception(error)
                future.exception()  # nobody may wait for it

    def _make_end(self, *, sent: bool = True) -> BackendError:
        quoted = "" if self._process is None else self._process.quote_lines()
        text = f"the process of {self._backend.name} {self.ended}{quoted}"
        return BackendError(self._cause, text, maybe_billed=sent and self._bills)

    def _make_error(self, failure: Failure) -> BackendError:
        """The error that the process told of. One without a cause was no `BackendError`: the plugin broke its word."""
        if not failure.cause:
            return BackendError(Cause.PLUGIN, f"the backend {self._backend.name} broke: {failure.message}")
        return BackendError(
            Cause(failure.cause),
            failure.message,
            where=failure.where,
            hint=failure.hint,
            retry_after=failure.retry_after,
            stops_member=failure.stops_member,
            maybe_billed=failure.maybe_billed,
        )

    async def _close_in_order(self) -> str:
        """Let the backend close. Returns what went wrong, empty if nothing did."""
        assert self._closed is not None
        data = _encoder.encode(Close())
        if self._writer is not None:
            self._writer.write(_LENGTH.pack(len(data)) + data)
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                closed = await self._closed
        except TimeoutError:
            if self._process is not None:
                await self._process.terminate()
            return f"the backend {self._backend.name} was not closed within {CLOSE_SECONDS:g} s; its process was ended"
        except BackendError:
            return ""  # it has ended meanwhile, which is what was wanted
        if self._process is not None:
            await self._process.await_exit(TERM_SECONDS)
        return str(self._make_error(closed.failure)) if closed.failure is not None else ""

    async def _give_up(self, reason: str) -> None:
        """Kill the process, reap it, and end the tasks. Returns whatever happens."""
        self.ended = self.ended or reason
        if self._process is not None:
            self._process.kill()
        self._tell_waiting()
        if self._process is not None:
            await self._process.await_exit(KILL_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._writer is not None:
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()
            self._writer = None
        if self._process is not None:
            self._process.close()
