"""A key that must turn up nowhere, and all the places where it is looked for."""

from __future__ import annotations

import base64
import html
import io
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from pool_core.testing.replies import Fault, Reply

if TYPE_CHECKING:
    from pool_core.testing.conformance.backend import BackendConformance

__all__ = ["KEY_VARIABLE", "Canary", "watch_secrets"]

KEY_VARIABLE = "POOL_CONFORMANCE_KEY"


class Canary:
    """Puts the key into the environment for a block, or takes it away."""

    value: ClassVar[str] = "sk-CANARY-0123456789/abcdef+XYZ"
    rotated: ClassVar[str] = "sk-ROTATED-9876543210/fedcba"

    def __init__(self, *, present: bool = True, rotated: bool = False) -> None:
        self._new = (self.rotated if rotated else self.value) if present else None
        self._old: str | None = None

    def __enter__(self) -> None:
        self._old = os.environ.pop(KEY_VARIABLE, None)
        _set(self._new)

    def __exit__(self, *_: object) -> None:
        _set(self._old)

    @classmethod
    def find(cls, text: str) -> str:
        """How the key is spelt in ``text``; empty where it is not in it."""
        return next((how for how, spelling in _spell(cls.value).items() if spelling in text), "")

    @classmethod
    def make_leaks(cls, suite: BackendConformance) -> Mapping[str, Reply | Fault]:
        """Replies that repeat the key, in every place of a reply."""
        key, body = cls.value, {"error": {"message": f"bad key {cls.value}", "type": cls.value, "code": cls.value}}
        faults = {name: suite.faults.get(name) for name in ("no-choices", "empty-body")}
        return {
            **{
                f"status {status} with the key": Reply(status, body)
                for status in (400, 401, 403, 404, 422, 429, 500, 503)
            },
            "a page with the key": Reply(500, f"<html>Authorization: Bearer {key} {html.escape(key)}".encode()),
            "200 and an error with the key": Reply(200, body),
            "200 and no JSON but the key": Reply(200, key.encode()),
            "200 and other JSON with the key": Reply(200, {"echo": key, "base64": _spell(key)["base64"]}),
            "a redirect to the key": Reply(307, b"", {"Location": f"/{quote(key, safe='')}?key={key}"}),
            "a wait of the key": Reply(429, {"detail": key}, {"Retry-After": key}),
            "the key and a reset": Reply(200, {"x": key}, cut="body"),
            "the key as a type of content": Reply(200, key.encode(), {"Content-Type": key}),
            **{what: fault for what, fault in faults.items() if fault is not None},
        }


@contextmanager
def watch_secrets() -> Iterator[dict[str, str]]:
    """What the block logs, from level DEBUG on, and prints: filled when it ends."""
    found: dict[str, str] = {}
    stream, out, err = io.StringIO(), io.StringIO(), io.StringIO()
    handler, root = logging.StreamHandler(stream), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            yield found
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        found |= {"the log": stream.getvalue(), "what it prints": out.getvalue() + err.getvalue()}


def _spell(key: str) -> dict[str, str]:
    return {
        "itself": key,
        "its start": key[:16],
        "base64": base64.b64encode(key.encode()).decode().rstrip("="),
        "a part of an address": quote(key, safe=""),
        "JSON": json.dumps(key).replace("/", "\\/").strip('"'),
    }


def _set(value: str | None) -> None:
    if value is None:
        os.environ.pop(KEY_VARIABLE, None)
    else:
        os.environ[KEY_VARIABLE] = value
