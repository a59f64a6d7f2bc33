"""What the tests of the backend share: one call over a real socket, and the canary key."""

from __future__ import annotations

import asyncio

import pytest
from pool_openai.backend import OpenAI
from pool_openai.config import OpenAIConfig

from pool_core.interfaces.values import Prompt, Request

CANARY = "sk-CANARY-0123456789/abcdef"


@pytest.fixture(autouse=True)
def no_key_around(monkeypatch):
    """No test sees a real key or proxy."""
    for name in ("OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def canary(monkeypatch):
    """A key that must turn up nowhere, in the environment variable CANARY."""
    monkeypatch.setenv("CANARY", CANARY)
    return CANARY


@pytest.fixture
def make_request():
    """Make the request of one prompt."""

    def make(backend, prompt=None, sampling=None, *, timeout=60.0):
        text = backend.config.api == "completions"
        prompt = prompt or (Prompt(text="Hi") if text else Prompt.chat("Hi"))
        sampling = sampling or {}
        return Request(0, prompt, sampling, 0, backend.encode(prompt, sampling), timeout)

    return make


@pytest.fixture
def ask(make_request):
    """Ask a server once and return the answer."""

    def ask_once(url, prompt=None, sampling=None, *, timeout=60.0, connect_timeout=60.0, **config):
        async def run():
            backend = OpenAI(OpenAIConfig(model="m", base_url=url, connect_timeout=connect_timeout, **config))
            try:
                await backend.open()
                return await backend.generate(make_request(backend, prompt, sampling, timeout=timeout))
            finally:
                await backend.aclose()

        return asyncio.run(run())

    return ask_once
