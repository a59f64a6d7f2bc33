"""A stand-in for vLLM with the same names and signatures, for the tests of this plugin alone."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

import pytest

from pool_core.interfaces.values import Message, Prompt, Request

STUB = Path(__file__).parent / "stub"


def _forget():
    for name in [name for name in sys.modules if name.partition(".")[0] == "vllm" or name == "pool_vllm.engine"]:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def _stub_of_vllm(monkeypatch):
    """``import vllm`` finds the stand-in, here and in processes that are started from here."""
    _forget()
    monkeypatch.syspath_prepend(str(STUB))
    monkeypatch.setenv("VLLM_WORKER_MULTIPROC_METHOD", "")
    monkeypatch.delenv("VLLM_WORKER_MULTIPROC_METHOD")  # set and taken away, so that it is put back as it was
    yield
    _forget()


@pytest.fixture
def make_request():
    ids = count(1)

    def make(text, *, role="user", prompt=None, **sampling):
        return Request(next(ids), prompt or Prompt((Message(role, text),)), sampling, 0, b"", 60.0)

    return make
