"""The backend passes the kit, in a process of its own and for real. Skipped where llama-cpp-python is not installed."""

from __future__ import annotations

import pytest

from pool_core.interfaces.values import Cause
from pool_core.testing import BackendConformance, Failure, Supports

pytest.importorskip("llama_cpp", reason="llama_cpp is not installed; the environment `llama` of tox has it")


class TestLlamaCpp(BackendConformance):
    use = "llamacpp/llamacpp"
    supports = Supports(http=False, key=False, seed=True, stop=True, schema=True, usage=True, batches=False)
    # the tiny model writes without end: the grammar makes it end, and write words
    config = {  # noqa: RUF012 - declared as one of the class
        "path": "tiny.gguf",
        "threads": 1,
        "grammar": 'root ::= word " " word " " word "."\nword ::= [a-z]{3,9}',
    }
    slow = {"grammar": None, "max_tokens": 100_000, "context": 100_000}  # noqa: RUF012 - as above
    failures = (Failure({"path": "missing.gguf"}, Cause.BAD_REQUEST),)

    @pytest.fixture(autouse=True)
    def _find_model(self, tiny_gguf):
        type(self).model = tiny_gguf

    def prepare(self, folder):
        (folder / "tiny.gguf").symlink_to(self.model)
