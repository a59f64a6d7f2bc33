"""The checks of where a backend's key goes, and where it does not."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

from pool_core.errors import BackendError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.values import Cause
from pool_core.testing.conformance.backend_suite import BackendSuite
from pool_core.testing.conformance.base import clip
from pool_core.testing.conformance.secrets import KEY_VARIABLE, Canary, watch_secrets
from pool_core.testing.faults import make_redirect
from pool_core.testing.server import ScriptedServer

__all__ = ["KeyChecks"]


class KeyChecks(BackendSuite):
    """A key that must turn up nowhere."""

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
