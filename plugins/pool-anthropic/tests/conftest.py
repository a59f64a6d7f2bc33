"""What the tests of the backend share: one call over a real socket, and the canary key."""

from __future__ import annotations

import asyncio

import pytest
from pool_anthropic.backend import Anthropic
from pool_anthropic.config import AnthropicConfig

from pool_core.interfaces.values import Prompt, Request

CANARY = "sk-ant-CANARY-0123456789/abcdef"


@pytest.fixture(autouse=True)
def no_key_around(monkeypatch):
    """No test sees a real key or proxy."""
    for name in ("ANTHROPIC_API_KEY", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def canary(monkeypatch):
    """A key that must turn up nowhere, in the environment variable CANARY."""
    monkeypatch.setenv("CANARY", CANARY)
    return CANARY


@pytest.fixture
def ask():
    """Ask a server once and return the answer, with what the quota was told to pause."""

    def ask_once(server, prompt=None, sampling=None, *, timeout=60.0, paused=None, **config):
        async def run():
            backend = Anthropic(AnthropicConfig(model="m", base_url=server.url.removesuffix("/v1"), **config))
            backend.pause = None if paused is None else paused.append
            asked = prompt or Prompt.chat("Hi")
            try:
                await backend.open()
                body = backend.encode(asked, sampling or {})
                return await backend.generate(Request(0, asked, sampling or {}, 0, body, timeout))
            finally:
                await backend.aclose()

        return asyncio.run(run())

    return ask_once
