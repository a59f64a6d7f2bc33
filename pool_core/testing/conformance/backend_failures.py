"""The checks of what a backend makes of failures."""

from __future__ import annotations

import pickle
from typing import Any, TypeAlias

import pytest

from pool_core.errors import BackendError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.values import Answer
from pool_core.testing.conformance.backend_suite import LONG, NOWHERE, SHORT, BackendSuite
from pool_core.testing.conformance.base import clip
from pool_core.testing.conformance.declared import Failure
from pool_core.testing.faults import FAULTS
from pool_core.testing.replies import Fault

__all__ = ["FailureChecks"]


#: Seconds of a call whose server takes longer than anyone waits: what is tried, as far as need be.
_LIMITS = (SHORT, 3.0, 20.0)

Said: TypeAlias = Answer | BackendError


class FailureChecks(BackendSuite):
    """Faults of its server, and calls that fail."""

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
        for limit in _LIMITS if fault.slow else (LONG,):
            paused: list[float] = []

            async def talk(backend: Backend[Any], paused: list[float] = paused, limit: float = limit) -> Said:
                backend.pause = paused.append
                return await self._ask(backend, self._request(backend, timeout=limit))

            with self._serving([fault]) as server:
                said = self._converse(server.url, talk)
            if server.requests:  # else the machine was too busy to send it within so short a limit
                break
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
        backend = self.make_backend(NOWHERE, failure.config)
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
