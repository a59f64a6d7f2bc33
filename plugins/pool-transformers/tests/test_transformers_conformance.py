"""The backend passes the kit, in a process of its own and for real. Skipped where torch is not installed."""

from __future__ import annotations

import pytest

from pool_core.interfaces.values import Cause, Prompt
from pool_core.testing import BackendConformance, Failure, Supports

for module in ("torch", "transformers"):
    pytest.importorskip(module, reason=f"{module} is not installed; the environment `engines` of tox has it")


class TestTransformers(BackendConformance):
    use = "transformers/transformers"
    supports = Supports(http=False, key=False, seed=True, stop=True, schema=False, usage=True, batches=True)
    config = {"model": "tiny", "max_tokens": 60}  # noqa: RUF012 - declared as one of the class
    slow = {"max_wait_ms": 60_000}  # noqa: RUF012 - as above; a batch of one waits for others
    prompts = (Prompt.chat("Describe the red fox."), Prompt.chat("Describe the blue boat."))
    failures = (
        Failure({"model": "nowhere"}, Cause.BAD_REQUEST),
        Failure({}, Cause.CONTEXT_LENGTH, Prompt.chat("x " * 400)),
    )

    @pytest.fixture(autouse=True)
    def _find_model(self, tiny_model):
        type(self).model = tiny_model

    def prepare(self, folder):
        (folder / "tiny").symlink_to(self.model)
