"""The backend that has another one answer in a process of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pool_core.errors import BackendError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.isolation import Isolation
from pool_core.interfaces.values import Answer, Cause, Prompt, Request
from pool_core.isolation.child import Child
from pool_core.isolation.devices import limit_devices
from pool_core.isolation.messages import SentBackend

__all__ = ["Isolated"]

#: Seconds for which the quota is paused at a time while a new process starts, and between two such pauses.
PAUSE_SECONDS, PAUSE_AGAIN_SECONDS = 1.0, 0.5
#: Seconds before the second new process in a row, doubled by each further one.
BACKOFF_SECONDS, MOST_BACKOFF_SECONDS = 1.0, 30.0

_HINT = "run it with `isolate: false` to see what it writes, or allow more: isolate: {restarts: ...}"


class Isolated(Backend[Any]):
    """Passes everything on to a process of its own, and has a new one started where it ends.

    Calls that were under way when a process ended fail as those do whose connection breaks, and the engine
    asks again. While a new one starts, the quota is paused: no call waits for a model to load. Where too many
    end in a row without an answer between, the member is stopped.

    What needs no model (the name, the identity, the body of a request) is asked of ``local``, the same backend
    made here and never opened.
    """

    def __init__(
        self, local: Backend[Any], sent: SentBackend, isolation: Isolation, device: str | None, *, bills: bool
    ) -> None:
        """Make it; nothing is started.

        Args:
            bills: whether a call that the process did not answer may have been paid for.
        """
        super().__init__(local.config)
        self._local = local
        self._sent = sent
        self._isolation = isolation
        self._device = device
        self._bills = bills
        self._child: Child | None = None
        self._starting: asyncio.Task[None] | None = None
        #: New processes since the last answer, and why there will be no further one.
        self._restarts = 0
        self._given_up = ""

    @property
    def model(self) -> str:
        return self._local.model

    @property
    def endpoint(self) -> str:
        return self._local.endpoint

    @property
    def identity(self) -> str:
        return self._local.identity

    @property
    def quota(self) -> str:
        """That of the backend; on another device it is another limit."""
        return self._local.quota if self._device is None else f"{self._local.quota} on {self._device}"

    def encode(self, prompt: Prompt, sampling: Mapping[str, Any]) -> bytes:
        return self._local.encode(prompt, sampling)

    def describe_headers(self) -> Mapping[str, str]:
        return self._local.describe_headers()

    async def open(self) -> None:
        """Start the process and open the backend in it. One that cannot be opened is not tried again.

        Raises:
            BackendError: it failed, or took longer than it may.
        """
        if os.name != "posix":
            raise BackendError(
                Cause.PLUGIN, "processes of their own need a POSIX system", hint="write `isolate: false`"
            )
        self._restarts, self._given_up = 0, ""
        self._child = await self._start()

    async def refresh(self) -> bool:
        return await self._child.refresh() if self._child is not None else False

    async def generate(self, request: Request) -> Answer:
        child = await self._find_child(request.timeout)
        answer = await child.ask(request)
        self._restarts = 0
        return answer

    def note_durable(self) -> None:
        """Pass it on. A process that has taken the place of another one knows nothing of what that has answered."""
        if self._child is not None:
            self._child.note_durable()

    async def aclose(self) -> None:
        """End the process. Returns within the time that the engine gives, whatever the process does.

        Raises:
            BackendError: the backend could not be closed in order; the process is gone nevertheless.
        """
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        child, self._child = self._child, None
        if child is not None:
            await child.close()

    async def _find_child(self, seconds: float) -> Child:
        """The process that answers; a new one where the last has ended. Raises `BackendError` where there is none."""
        if self._child is not None and not self._child.ended:
            return self._child
        if self._starting is not None:
            await asyncio.wait([self._starting], timeout=seconds)
            if self._starting is not None:
                raise BackendError(Cause.OVERLOADED, f"the new process of {self._sent.name} is still starting")
            return await self._find_child(seconds)
        if self._given_up:
            raise BackendError(Cause.TRANSPORT, self._given_up, stops_member=True, hint=_HINT)
        raise BackendError(Cause.CANCELLED, f"the backend {self._sent.name} is not open")

    async def _start(self) -> Child:
        child = Child(
            self._sent,
            self._isolation,
            limit_devices(os.environ, self._device),
            folder=self.folder,
            bills=self._bills,
            on_pause=self._pass_pause,
            on_end=self._note_end,
        )
        await child.start()
        return child

    def _note_end(self) -> None:
        """The process has ended that was open: start another one."""
        if self._child is not None:
            self._pass_pause(PAUSE_SECONDS)  # before those who wait are told, and ask again
            self._starting = asyncio.ensure_future(self._restart(self._child))

    async def _restart(self, ended: Child) -> None:
        """Start a new process in the place of ``ended``, unless too many have ended in a row."""
        pausing = asyncio.ensure_future(self._keep_pausing())
        reason = f"the process of {self._sent.name} {ended.ended}"
        try:
            with suppress(BackendError):  # it has ended already: this reaps it
                await ended.close()
            while self._restarts < self._isolation.restarts:
                if self._restarts:
                    await asyncio.sleep(min(MOST_BACKOFF_SECONDS, BACKOFF_SECONDS * 2.0 ** (self._restarts - 1)))
                self._restarts += 1
                try:
                    self._child = await self._start()
                except BackendError as error:
                    reason = error.message
                else:
                    return
            self._given_up = f"{reason}; {self._restarts} new processes in a row gave no answer, so there is no other"
        finally:
            pausing.cancel()
            self._starting = None

    async def _keep_pausing(self) -> None:
        while True:
            self._pass_pause(PAUSE_SECONDS)
            await asyncio.sleep(PAUSE_AGAIN_SECONDS)

    def _pass_pause(self, seconds: float) -> None:
        if self.pause is not None:
            self.pause(seconds)
