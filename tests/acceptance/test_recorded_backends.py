"""Each backend that asks a provider, wrapped by ``record`` and replayed: the outputs are equal, byte for byte."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import pytest

from pool_core import run_recipe
from pool_core.testing.batches import BatchApi
from pool_core.testing.server import ScriptedServer

pytestmark = pytest.mark.plugins("standard", "replay", "openai", "anthropic", "litellm")

ROWS = 5


def write_recipe(folder, backend):
    folder.mkdir(exist_ok=True)
    rows = [{"id": str(n), "instruction": f"text {n} é \u2028"} for n in range(ROWS)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {
        "rows": {"path": "rows.jsonl", "id": "id"},
        "output": {"path": "output.jsonl"},
        "pool": {
            "samples": 2,
            "members": [{"name": "a", "backend": backend, "task": "text-generation", "sampling": {"temperature": 0.5}}],
        },
    }
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(recipe))
    return path


@pytest.fixture
def litellm(monkeypatch):
    """A stub in LiteLLM's place: it echoes."""

    class Reply:
        def __init__(self, text):
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            self.values = {"id": "r", "model": "m", "choices": [choice], "usage": {"prompt_tokens": 1}}

        def model_dump(self, mode):
            return self.values

    async def acompletion(**arguments):
        return Reply(f"echo: {arguments['messages'][-1]['content']}")

    stub = ModuleType("litellm")
    stub.acompletion = acompletion
    monkeypatch.setitem(sys.modules, "litellm", stub)
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")


@pytest.mark.parametrize("use", ["openai", "openai-batch", "anthropic", "litellm"])
def test_a_recording_answers_as_its_backend_did(use, tmp_path, litellm):
    batches = BatchApi()

    def serve(request):
        return batches(request) if request.path.startswith(("/v1/files", "/v1/batches")) else None

    with ScriptedServer(serve) as server:
        backend = {
            "openai": {"base_url": server.url},
            "openai-batch": {"base_url": server.url, "idle": 0.1, "poll": 0.02},
            "anthropic": {"base_url": server.url.removesuffix("/v1")},
            "litellm": {},
        }[use]
        recording = tmp_path / "made.jsonl"
        inner = {"use": use, "model": "m", **backend}
        path = write_recipe(tmp_path / "recorded", {"use": "record", "path": str(recording), "backend": inner})
        assert run_recipe(path, run_dir=tmp_path / "run").summary.status == "complete"
        asked = len(server.requests)
        replay = {"use": "replay", "model": "m", "path": str(recording)}
        again = write_recipe(tmp_path / "replayed", replay)
        assert run_recipe(again, run_dir=tmp_path / "other").summary.status == "complete"
        assert len(server.requests) == asked
    made = (tmp_path / "recorded" / "output.jsonl").read_bytes()
    assert made == (tmp_path / "replayed" / "output.jsonl").read_bytes()
    first = json.loads(made.splitlines()[0])
    assert [one["generation"] for one in first["generations"]] == ["echo: text 0 é \u2028"] * 2
    if use == "openai-batch":
        assert batches.paid.total() == 2 * ROWS
        assert list((tmp_path / "run" / "backends").rglob("*.json")) == []
