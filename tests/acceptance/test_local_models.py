"""Four kinds of backends in one run, and one of their processes killed in its midst.

A model of transformers in a process, a model of llama.cpp in another, a server, a recording; one task with typed
output. Skipped where torch or llama-cpp-python is missing: the environment `engines` of tox has both.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel

from pool_core.api import Contribution, hookimpl
from pool_core.data.records import read_generations, read_run_info
from pool_core.errors import ParseError
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.task import Task
from pool_core.interfaces.values import Prompt
from pool_core.job import run_plan
from pool_core.plan.build import make_plan
from pool_core.plan.rows import MemoryRows
from pool_core.recipe.models import Member, PoolSpec, Recipe
from pool_core.registry import Registry
from pool_core.store.store import Store
from pool_core.testing.replies import Reply, make_chat_body
from pool_core.testing.server import ScriptedServer

pytestmark = pytest.mark.plugins("openai", "replay", "transformers", "llamacpp")

PLUGINS = Path(__file__).parents[2] / "plugins"
TIMES = 10


class Thing(BaseModel):
    """What each answer is read as."""

    thing: Literal["fox", "boat", "tree", "stone"]
    colour: Literal["red", "blue", "green", "black"]


class Describe(Task[PluginConfig]):
    """Asks for JSON of the form of `Thing`."""

    Config = PluginConfig
    Output = Thing
    inputs = ("text",)

    def render(self, row):
        return Prompt(Prompt.chat(row["text"]).messages, schema=Thing.model_json_schema())

    def parse(self, answer, row):
        try:
            return Thing.model_validate_json(answer.text)
        except ValueError as error:
            raise ParseError(str(error)) from error


class Killer:
    """A plugin that kills a member's process once the member has some answers and has not got all."""

    def __init__(self):
        self.engine = None
        self.seen = {"hf": 0, "gguf": 0}
        self.killed = {}

    @hookimpl
    def pool_tasks(self):
        yield Contribution("describe", f"{__name__}:Describe")

    @hookimpl
    def pool_cell_finished(self, cell):
        if cell.member in self.seen:
            self.seen[cell.member] += 1
            if self.seen[cell.member] == 5:
                number = ["hf", "gguf"].index(cell.member)
                self.killed[cell.member] = self.engine.backends[number]._child._process.pid
                os.kill(self.killed[cell.member], signal.SIGKILL)


def load_maker(plugin):
    """The module in which the tests of a plugin make their tiny model."""
    path = PLUGINS / plugin / "tests" / "conftest.py"
    spec = importlib.util.spec_from_file_location(f"makes_{plugin.replace('-', '_')}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The two models, and what the first knows."""
    for module in ("torch", "transformers", "llama_cpp", "gguf"):
        pytest.importorskip(module, reason=f"{module} is not installed; the environment `engines` of tox has it")
    folder = tmp_path_factory.mktemp("models")
    transformers, llamacpp = load_maker("pool-transformers"), load_maker("pool-llamacpp")
    tokenizer = transformers.make_tokenizer()
    # transformers constrains no answer, so the schema stands behind the question, and the model is too small to learn
    # its answers to that: its template shows it what comes first
    asked = "m['content']"
    assert asked in transformers.CHAT_TEMPLATE
    tokenizer.chat_template = transformers.CHAT_TEMPLATE.replace(asked, f"{asked}.partition('\n\n')[0]")
    transformers.make_model(tokenizer).save_pretrained(folder / "tiny")
    tokenizer.save_pretrained(folder / "tiny")
    llamacpp.write_model(folder / "tiny.gguf")
    return folder, transformers.ANSWERS


def test_a_kill_in_the_middle_costs_no_cell_and_all_are_typed_alike(models, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # more threads only wait for each other here
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder, answers = models
    rows = [{"id": f"{time}-{n}", "text": text} for time in range(TIMES) for n, text in enumerate(answers)]
    with (tmp_path / "recording.jsonl").open("w", encoding="utf-8") as recording:
        for text, said in answers.items():
            prompt = [{"role": "user", "content": text}]
            entry = {"model": "recorded", "prompt": prompt, "sample": 0, "answer": {"text": said}}
            recording.write(json.dumps(entry) + "\n")

    def reply(request):
        return Reply(200, make_chat_body(answers[request.body["messages"][-1]["content"]]))

    killer = Killer()
    registry = Registry.discover()
    registry.register(killer, "killer")
    with ScriptedServer(reply) as server:
        backends = {
            "hf": {"use": "transformers", "model": str(folder / "tiny"), "batch_size": 4, "device": "cpu"},
            "gguf": {"use": "llamacpp", "path": str(folder / "tiny.gguf"), "threads": 1, "device": "cpu"},
            "server": {"use": "openai", "model": "m", "base_url": server.url},
            "recorded": {"use": "replay", "model": "recorded", "path": str(tmp_path / "recording.jsonl")},
        }
        members = [
            Member(
                name=name, backend=backend, task="killer/describe", sampling={"temperature": 0 if name == "hf" else 1}
            )
            for name, backend in backends.items()
        ]
        recipe = Recipe(pool=PoolSpec(members=members))
        plan = make_plan(recipe, registry, rows=MemoryRows(rows, "id"))
        assert plan.compatible, plan.findings

        @asynccontextmanager
        async def watch(engine):
            killer.engine = engine
            yield

        summary = asyncio.run(run_plan(plan, registry, tmp_path / "run", watch=watch))
    assert killer.killed.keys() == {"hf", "gguf"}
    assert (summary.status, summary.notes) == ("complete", ())
    texts = {row["id"]: row["text"] for row in rows}
    with Store.read(tmp_path / "run") as store:
        cells = [
            (texts[row.row_id], one)
            for row, generations in read_generations(store, read_run_info(store))
            for one in generations
        ]
    assert len(cells) == 4 * len(rows)
    for text, cell in cells:
        assert cell["status"] == "ok", cell
        found = Thing(thing=cell["thing"], colour=cell["colour"])
        if cell["member"] != "gguf":  # whose model knows nothing: the schema alone makes its answers fit
            assert found == Thing.model_validate_json(answers[text])
