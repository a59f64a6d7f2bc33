"""The adapter with vLLM itself and a tiny model that the tests make. Skipped where vLLM or a GPU is missing."""

# ruff: noqa: E402 - imports of the plugin stand behind the look whether vLLM is there

from __future__ import annotations

import asyncio
import gc
import importlib.util
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

if importlib.util.find_spec("vllm") is None:
    pytest.skip("vLLM is not installed", allow_module_level=True)
torch = pytest.importorskip("torch", reason="torch is not installed")
if not torch.cuda.is_available():
    pytest.skip("torch sees no GPU", allow_module_level=True)

from pool_vllm.backend import Vllm
from pool_vllm.config import VllmConfig

from pool_core.api import hookimpl
from pool_core.data.records import read_generations, read_run_info
from pool_core.errors import BackendError
from pool_core.interfaces.values import Cause, Prompt
from pool_core.job import run_plan
from pool_core.plan.build import make_plan
from pool_core.plan.rows import MemoryRows
from pool_core.recipe.models import Member, PoolSpec, Recipe
from pool_core.registry import Registry
from pool_core.store.store import Store

pytestmark = pytest.mark.filterwarnings("default")  # vLLM's own are not this project's

MAKER = Path(__file__).parents[2] / "pool-transformers" / "tests" / "conftest.py"
#: Small, and ready soon: no graphs are captured, and no memory is measured.
ENGINE = {"enforce_eager": True, "gpu_memory_utilization": 0.2, "kv_cache_memory_bytes": 64 << 20}
#: A process that has given its memory back may leave this many bytes to the driver.
REST = 256 << 20


@pytest.fixture(autouse=True)
def _stub_of_vllm():
    """There is none here: the other tests' stand-in is not for this module."""


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("makes_models_for_vllm", MAKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def answers(maker):
    return maker.ANSWERS


@pytest.fixture(scope="module")
def model(maker, tmp_path_factory):
    """The folder of a model that knows `answers`."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["VLLM_NO_USAGE_STATS"] = "1"
    folder = tmp_path_factory.mktemp("tiny") / "knows-by-heart"
    tokenizer = maker.make_tokenizer()
    maker.make_model(tokenizer, heads=2).save_pretrained(folder)  # heads of 32: vLLM's kernels take no smaller ones
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def work(model):
    """An engine in this process, and how to run work on its event loop."""
    with asyncio.Runner() as runner:
        backend = Vllm(VllmConfig(model=str(model), dtype="bfloat16", max_tokens=60, engine=ENGINE))
        runner.run(backend.open())
        yield lambda make: runner.run(make(backend))
        runner.run(backend.aclose())
    gc.collect()  # vLLM's sockets, whose warnings are not for the tests behind


async def ask(backend, *requests):
    return await asyncio.gather(*(backend.generate(request) for request in requests))


def test_it_knows_what_it_has_learnt_many_at_a_time(work, answers, make_request):
    found = work(lambda backend: ask(backend, *(make_request(text, temperature=0) for text in answers)))
    assert [one.text for one in found] == list(answers.values())
    assert {(one.finish_reason, one.model) for one in found} == {("stop", found[0].model)}


def test_usage_is_what_the_tokenizer_counts(work, answers, make_request, maker):
    [answer] = work(lambda backend: ask(backend, make_request("Describe the red fox.", temperature=0)))
    tokenizer = maker.make_tokenizer()
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Describe the red fox."}], tokenize=False, add_generation_prompt=True
    )
    assert answer.usage.input_tokens == len(tokenizer.encode(text, add_special_tokens=False))
    said = tokenizer.encode(answers["Describe the red fox."], add_special_tokens=False)
    assert answer.usage.output_tokens == len(said) + 1  # and the end of the turn


def test_text_is_taken_as_it_is(work, make_request):
    text = "<|im_start|>user\nDescribe the black fox.<|im_end|>\n<|im_start|>assistant\n"
    [answer] = work(lambda backend: ask(backend, make_request("", prompt=Prompt(text=text), temperature=0)))
    assert answer.text == '{"thing": "fox", "colour": "black"}'


def test_a_seed_decides(work, make_request):
    async def draw(backend):
        options = {"temperature": 2.0, "max_tokens": 20}
        first, again = [
            [(await ask(backend, make_request("Describe it.", seed=seed, **options)))[0].text for seed in range(5)]
            for _ in range(2)
        ]
        free = await ask(backend, *(make_request("Describe it.", **options) for _ in range(5)))
        return first, again, {one.text for one in free}

    first, again, free = work(draw)
    assert first == again
    assert len(set(first)) == len(free) == 5


def test_an_answer_ends_where_it_is_told_to(work, make_request):
    asked = "Describe the blue tree."
    stopped, cut = work(
        lambda backend: ask(
            backend,
            make_request(asked, temperature=0, stop=["colour"]),
            make_request(asked, temperature=0, max_tokens=3),
        )
    )
    assert (stopped.text, stopped.finish_reason) == ('{"thing": "tree", "', "stop")
    assert (cut.finish_reason, cut.usage.output_tokens) == ("length", 3)


def test_each_parameter_is_taken(work, answers, make_request):
    asked = "Describe the blue tree."
    narrow = [{"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}, {"min_tokens": 5, "top_k": 1}]
    found = work(
        lambda backend: ask(backend, *(make_request(asked, temperature=1.0, seed=7, **each) for each in narrow))
    )
    assert [one.text for one in found] == [answers[asked]] * len(narrow)
    penalties = {"presence_penalty": 0.1, "frequency_penalty": 0.1, "repetition_penalty": 1.05}
    [one] = work(lambda backend: ask(backend, make_request(asked, temperature=0, **penalties)))
    assert one.text


def test_a_schema_constrains(work, make_request):
    """It allows what the model has never learnt to say, and nothing else."""
    properties = {"thing": {"enum": ["cat"]}, "colour": {"enum": ["pink"]}}
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    prompt = Prompt(Prompt.chat("Describe the red fox.").messages, schema=schema)
    [answer] = work(lambda backend: ask(backend, make_request("", prompt=prompt, temperature=0)))
    assert json.loads(answer.text) == {"thing": "cat", "colour": "pink"}


def test_what_is_wrong_with_a_request_is_told_and_the_next_is_answered(work, make_request, answers):
    async def fail(backend):
        errors = []
        bad = Prompt(Prompt.chat("Describe it.").messages, schema={"type": "nonsense"})
        for request in (
            make_request("x " * 400),
            make_request("Describe it.", temperature=-1),
            make_request("", prompt=bad),
        ):
            with pytest.raises(BackendError) as caught:
                await backend.generate(request)
            errors.append(caught.value)
        return errors, (await ask(backend, make_request("Describe the red fox.", temperature=0)))[0].text

    [long, negative, schema], text = work(fail)
    assert text == answers["Describe the red fox."]
    assert long.cause is Cause.CONTEXT_LENGTH
    assert long.message.endswith(" tokens, and the model takes 256 with the answer")
    assert (negative.cause, schema.cause) == (Cause.BAD_REQUEST, Cause.BAD_REQUEST)
    assert negative.message.startswith("vLLM refuses the request: temperature must be non-negative")
    assert schema.message.startswith("vLLM refuses the request: ")
    assert not any(error.stops_member for error in (long, negative, schema))


@pytest.mark.parametrize("written", [False, True], ids=["when it is taken in", "when it writes"])
def test_a_call_that_is_given_up_is_aborted_in_the_engine(work, make_request, written):
    async def give_up(backend):
        states = backend._engine._engine.output_processor.request_states
        call = asyncio.ensure_future(backend.generate(make_request("Describe it.", max_tokens=200, min_tokens=200)))
        while not states or (written and any(one.is_prefilling for one in states.values())):  # noqa: ASYNC110
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        return len(states)

    assert work(give_up) == 0


def test_a_request_may_be_asked_again_while_it_is_under_way(work, make_request, answers):
    request = make_request("Describe the red fox.", temperature=0)
    assert [one.text for one in work(lambda backend: ask(backend, request, request))] == [
        answers["Describe the red fox."]
    ] * 2


def test_an_engine_that_dies_stops_the_member(work, make_request):
    """The last test with this engine."""

    async def kill(backend):
        [core] = multiprocessing.active_children()
        call = asyncio.ensure_future(backend.generate(make_request("Describe it.", max_tokens=200, min_tokens=200)))
        await asyncio.sleep(0)
        os.kill(core.pid, signal.SIGKILL)
        with pytest.raises(BackendError) as caught:
            await call
        return caught.value

    error = work(kill)
    assert (error.cause, error.stops_member) == (Cause.SERVER, True)
    assert error.message.startswith("vLLM's engine is dead: ")


# in a process of its own


def wait_for_free_memory(size):
    """Wait until the card has this many bytes free. A test that hangs is ended from outside."""
    while torch.cuda.mem_get_info()[0] < size:
        time.sleep(0.05)


class Killer:
    """A plugin that kills the process of the first member in the middle of the run."""

    def __init__(self):
        self.engine = None
        self.seen = 0
        self.processes = set()

    @hookimpl
    def pool_cell_finished(self, cell):
        if cell.member != "vllm":
            return
        self.seen += 1
        pid = self.engine.backends[0]._child._process.pid
        self.processes.add(pid)
        if self.seen == 5:
            os.kill(pid, signal.SIGKILL)


def test_a_kill_costs_no_cell_and_leaves_no_memory_taken(model, answers, tmp_path):
    rows = [{"id": f"{time}-{n}", "instruction": text} for time in range(10) for n, text in enumerate(answers)]
    killer, registry = Killer(), Registry.discover()
    registry.register(killer, "killer")
    backends = {
        "vllm": {"use": "vllm", "engine": ENGINE, "isolate": {"silence": 120}},
        "hf": {"use": "transformers", "batch_size": 16},
    }
    members = [
        Member(
            name=name,
            backend={"model": str(model), "dtype": "bfloat16", "device": 0, **backend},
            task="text-generation",
            sampling={"temperature": 0},
            limits={"concurrency": 8},
        )
        for name, backend in backends.items()
    ]
    plan = make_plan(Recipe(pool=PoolSpec(members=members)), registry, rows=MemoryRows(rows, "id"))
    assert plan.compatible, plan.findings
    before = torch.cuda.mem_get_info()[0]

    @asynccontextmanager
    async def watch(engine):
        killer.engine = engine
        yield

    summary = asyncio.run(run_plan(plan, registry, tmp_path / "run", watch=watch))
    assert len(killer.processes) == 2
    assert (summary.status, summary.notes) == ("complete", ())
    texts = {row["id"]: row["instruction"] for row in rows}
    with Store.read(tmp_path / "run") as store:
        cells = [
            (answers[texts[row.row_id]], one["generation"])
            for row, generations in read_generations(store, read_run_info(store))
            for one in generations
        ]
    assert len(cells) == 2 * len(rows)
    assert all(expected == said for expected, said in cells)
    wait_for_free_memory(before - REST)


OWNER = """
import asyncio, json, sys
from pool_vllm.backend import Vllm
from pool_vllm.config import VllmConfig
from pool_core.interfaces.isolation import Isolation
from pool_core.isolation.backend import Isolated
from pool_core.isolation.messages import describe_backend

async def run():
    config = VllmConfig(model=sys.argv[1], dtype="bfloat16", engine=json.loads(sys.argv[2]))
    sent = describe_backend("vllm/vllm", Vllm, config, {})
    await Isolated(Vllm(config), sent, Isolation(), "0", bills=False).open()
    print("open", flush=True)
    await asyncio.sleep(1000)

asyncio.run(run())
"""


def test_an_owner_that_is_killed_leaves_no_memory_taken(model):
    before = torch.cuda.mem_get_info()[0]
    command = [sys.executable, "-c", OWNER, str(model), json.dumps(ENGINE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout.readline() == "open\n"
        assert before - torch.cuda.mem_get_info()[0] > REST
        owner.kill()
    wait_for_free_memory(before - REST)
