"""The backend on a GPU: memory that runs out, processes side by side, a kill. Skipped where torch sees none."""

# ruff: noqa: E402 - imports that need torch stand behind the look whether it is there

from __future__ import annotations

import asyncio
import gc
import os
import signal
from contextlib import asynccontextmanager

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; the environment `engines` of tox has it")
pytest.importorskip("transformers", reason="transformers is not installed; the environment `engines` of tox has it")
if not torch.cuda.is_available():
    pytest.skip("torch sees no GPU", allow_module_level=True)

from pool_transformers.backend import Transformers
from pool_transformers.config import TransformersConfig
from pool_transformers.engine import TorchEngine
from pool_transformers.rows import Job, NoRoomError

from pool_core.api import hookimpl
from pool_core.data.records import read_generations, read_run_info
from pool_core.errors import BackendError
from pool_core.interfaces.isolation import Isolation
from pool_core.interfaces.values import Answer, Cause, Prompt
from pool_core.isolation.backend import Isolated
from pool_core.isolation.messages import describe_backend
from pool_core.job import run_plan
from pool_core.plan.build import make_plan
from pool_core.plan.rows import MemoryRows
from pool_core.recipe.models import Member, PoolSpec, Recipe
from pool_core.registry import Registry
from pool_core.store.store import Store

MIB = 1 << 20
#: A process that has given its memory back may leave this much to the driver.
REST = 128 * MIB


@pytest.fixture(autouse=True)
def _memory_is_given_back():
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    gc.collect()
    torch.cuda.empty_cache()


def load(model, **config):
    return TorchEngine.load(TransformersConfig(model=str(model), **config))


def make_job(text, **keys):
    return Job(Prompt.chat(text), keys.pop("max_tokens", 60), **keys)


def make_jobs(answers, number):
    texts = [list(answers)[n % len(answers)] for n in range(number)]
    return texts, [make_job(text, temperature=0) for text in texts]


def ask(engine, *jobs):
    return [one.text if isinstance(one, Answer) else one for one in engine.generate(jobs)]


def measure(engine, jobs):
    """Most bytes that a batch held."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    engine.generate(jobs)
    torch.cuda.synchronize()
    return torch.cuda.max_memory_reserved()


def limit(size):
    """Let torch's allocator take no more than ``size`` bytes."""
    torch.cuda.set_per_process_memory_fraction(size / torch.cuda.get_device_properties(0).total_memory)


@pytest.fixture
def fill():
    """Let torch's allocator have nothing left."""
    held = []

    def take_all():
        torch.cuda.empty_cache()
        limit(1)
        with pytest.raises(torch.OutOfMemoryError):  # noqa: PT012 - whichever is the last
            while True:
                held.append(torch.empty(1, device="cuda"))

    yield take_all
    held.clear()


@pytest.mark.parametrize("dtype", ["auto", "float32", "float16", "bfloat16"])
def test_it_answers_on_the_gpu_in_each_type(tiny_model, answers, dtype):
    engine = load(tiny_model, dtype=dtype)
    assert engine._device.type == "cuda"
    assert engine._model.dtype is (torch.float32 if dtype == "auto" else getattr(torch, dtype))
    assert ask(engine, *make_jobs(answers, len(answers))[1]) == list(answers.values())


@pytest.mark.parametrize(
    "device_map",
    [
        "auto",
        "cuda:0",
        "cpu",
        {"": 0},
        {"model.embed_tokens": 0, "model.rotary_emb": 0, "model.layers.0": 0, "model.layers.1": "cpu"}
        | {"model.norm": "cpu", "lm_head": "cpu"},
        {"model.embed_tokens": "cpu", "model.rotary_emb": "cpu", "model.layers.0": "cpu", "model.layers.1": 0}
        | {"model.norm": 0, "lm_head": 0},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:You are calling .generate")  # where the first layers wait on "meta"
def test_layers_go_where_the_map_says(tiny_model, answers, device_map):
    engine = load(tiny_model, device_map=device_map)
    assert ask(engine, *make_jobs(answers, len(answers))[1]) == list(answers.values())
    sampled = [make_job("Describe it.", temperature=1.5, seed=n, max_tokens=20) for n in range(4)]
    assert ask(engine, *sampled) == ask(load(tiny_model, device_map="cpu"), *sampled)


def test_a_seed_decides_a_row_on_the_gpu_as_on_the_processor(tiny_model):
    jobs = [
        make_job(f"Describe the {n} boats." * (n + 1), temperature=2.0, top_p=0.9, seed=n, max_tokens=20)
        for n in range(6)
    ]
    engine = load(tiny_model, dtype="float32")
    together = ask(engine, *jobs)
    assert len(set(together)) == len(jobs)
    assert together == ask(engine, *jobs)
    assert together == [ask(engine, job)[0] for job in jobs]
    assert together == ask(load(tiny_model, dtype="float32", device_map="cpu"), *jobs)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_same_batch_gets_the_same_answers_in_short_types(tiny_model, dtype):
    jobs = [make_job("Describe it.", temperature=2.0, seed=n, max_tokens=20) for n in range(6)]
    engine = load(tiny_model, dtype=dtype)
    assert ask(engine, *jobs) == ask(engine, *jobs) == ask(load(tiny_model, dtype=dtype), *jobs)


def test_a_batch_that_runs_out_of_memory_is_halved_and_all_are_answered(tiny_model, answers, make_request):
    """Torch's allocator is given less than the batch needs, and raises its own error."""
    engine = load(tiny_model)
    texts, jobs = make_jobs(answers, 2048)
    most, least = measure(engine, jobs), measure(engine, jobs[:64])
    room = (most + least) // 2
    assert most - least > 16 * MIB

    async def run():
        backend = Transformers(TransformersConfig(model="m", batch_size=2048, max_wait_ms=1000))
        backend.load = lambda _config: engine
        await backend.open()
        try:
            calls = [backend.generate(make_request(text, temperature=0)) for text in texts]
            return [answer.text for answer in await asyncio.gather(*calls)], backend.batch_size
        finally:
            await backend.aclose()

    torch.cuda.empty_cache()
    limit(room)
    said, size = asyncio.run(run())
    assert said == [answers[text] for text in texts]
    assert 1 <= size < 2048
    assert torch.cuda.max_memory_reserved() <= most


def test_memory_that_the_card_itself_has_not_got(tiny_model, answers):
    """The card is filled, so that the driver refuses, and not torch's own limit."""
    engine = load(tiny_model)
    _, jobs = make_jobs(answers, 2048)
    most, least = measure(engine, jobs), measure(engine, jobs[:64])
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info()
    if free < 0.8 * total:
        pytest.skip("others use the card")
    ballast = torch.empty(free - (most + least) // 2 + torch.cuda.memory_reserved(), dtype=torch.uint8, device="cuda")
    with pytest.raises(NoRoomError, match="CUDA out of memory"):
        engine.generate(jobs)
    assert ask(engine, *jobs[:64]) == [answers[text] for text in list(answers) * 4]
    del ballast


def test_memory_of_a_batch_that_failed_is_given_back_to_the_card(tiny_model, answers):
    engine = load(tiny_model)
    _, jobs = make_jobs(answers, 2048)
    most, least = measure(engine, jobs), measure(engine, jobs[:1])
    torch.cuda.empty_cache()
    limit((most + least) // 2)
    with pytest.raises(NoRoomError):
        engine.generate(jobs)
    assert torch.cuda.memory_reserved() <= least


def test_a_request_that_does_not_fit_alone_says_so(tiny_model, make_request, fill):
    engine = load(tiny_model)
    engine.generate([make_job("Describe the red fox.", temperature=0)])
    fill()

    async def run():
        backend = Transformers(TransformersConfig(model="m", batch_size=2))
        backend.load = lambda _config: engine
        await backend.open()
        try:
            calls = [backend.generate(make_request("Describe the red fox.", temperature=0)) for _ in range(2)]
            return await asyncio.gather(*calls, return_exceptions=True)
        finally:
            await backend.aclose()

    for error in asyncio.run(run()):
        assert isinstance(error, BackendError)
        assert error.cause is Cause.CONTEXT_LENGTH
        assert str(error).startswith("the request alone does not fit the device's memory: CUDA out of memory. ")


@pytest.mark.parametrize("device_map", [None, "cuda:0"])
def test_a_model_that_does_not_fit_says_so(tiny_model, device_map, fill):
    fill()
    with pytest.raises(BackendError) as caught:
        load(tiny_model, device_map=device_map)
    assert f"the model {tiny_model} does not fit the device's memory: " in str(caught.value)


# in processes of their own


async def wait_for_free_memory(size):
    """Wait until the card has this many bytes free. A test that hangs is ended from outside."""
    while torch.cuda.mem_get_info()[0] < size:  # noqa: ASYNC110 - the card sends no event
        await asyncio.sleep(0.05)


def list_environment(pid):
    with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123 - not a file of a folder
        return dict(line.split(b"=", 1) for line in file.read().split(b"\0") if b"=" in line)


def make_isolated(model, device, **config):
    config = TransformersConfig(model=str(model), **config)
    sent = describe_backend("transformers/transformers", Transformers, config, {})
    return Isolated(Transformers(config), sent, Isolation(silence=120), device, bills=False)


@pytest.mark.parametrize(("device", "uses"), [("0", True), ("cuda:0", True), ("cpu", False)])
def test_a_process_uses_the_device_it_is_given_and_gives_the_memory_back(
    tiny_model, answers, make_request, device, uses
):
    async def run():
        torch.cuda.empty_cache()
        before = torch.cuda.mem_get_info()[0]
        backend = make_isolated(tiny_model, device, dtype="bfloat16", max_wait_ms=500, batch_size=16)
        await backend.open()
        environment = list_environment(backend._child._process.pid)
        assert environment[b"CUDA_VISIBLE_DEVICES"] == (b"0" if uses else b"")
        calls = [backend.generate(make_request(text, temperature=0)) for text in answers]
        said = [answer.text for answer in await asyncio.gather(*calls)]
        used = before - torch.cuda.mem_get_info()[0]
        await backend.aclose()
        await wait_for_free_memory(before - REST)
        return said, used

    said, used = asyncio.run(run())
    assert said == list(answers.values())
    assert (used > REST) is uses


def test_a_process_that_runs_out_of_memory_halves_its_batch(tiny_model, answers, make_request, monkeypatch):
    if tuple(map(int, torch.__version__.split("+")[0].split(".")[:2])) < (2, 10):
        pytest.skip("this torch takes no limit of memory by its environment")
    texts, jobs = make_jobs(answers, 2048)
    engine = load(tiny_model)
    room = (measure(engine, jobs) + measure(engine, jobs[:64])) // 2
    share = room / torch.cuda.get_device_properties(0).total_memory
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", f"per_process_memory_fraction:{share:.9f}")
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", f"per_process_memory_fraction:{share:.9f}")

    async def run():
        backend = make_isolated(tiny_model, "0", batch_size=2048, max_wait_ms=2000)
        await backend.open()
        try:
            calls = [backend.generate(make_request(text, temperature=0)) for text in texts]
            return [answer.text for answer in await asyncio.gather(*calls)]
        finally:
            await backend.aclose()

    assert asyncio.run(run()) == [answers[text] for text in texts]


class Killer:
    """A plugin that kills the process of the first member in the middle of the run."""

    def __init__(self):
        self.engine = None
        self.seen = 0
        self.killed = None
        self.processes = set()

    @hookimpl
    def pool_cell_finished(self, cell):
        self.processes |= {backend._child._process.pid for backend in self.engine.backends if backend._child}
        self.seen += cell.member == "one"
        if self.seen == 5 and self.killed is None:
            self.killed = self.engine.backends[0]._child._process.pid
            os.kill(self.killed, signal.SIGKILL)


def test_two_members_share_a_gpu_and_a_kill_costs_no_cell(tiny_model, answers, tmp_path):
    rows = [{"id": f"{time}-{n}", "instruction": text} for time in range(10) for n, text in enumerate(answers)]
    killer, registry = Killer(), Registry.discover()
    registry.register(killer, "killer")
    members = [
        Member(
            name=name,
            backend={"use": "transformers", "model": str(tiny_model), "dtype": dtype, "device": 0, "batch_size": 4},
            task="text-generation",
            sampling={"temperature": 0},
        )
        for name, dtype in (("one", "bfloat16"), ("two", "float16"))
    ]
    plan = make_plan(Recipe(pool=PoolSpec(members=members)), registry, rows=MemoryRows(rows, "id"))
    assert plan.compatible, plan.findings
    before = torch.cuda.mem_get_info()[0]

    @asynccontextmanager
    async def watch(engine):
        killer.engine = engine
        yield

    async def run():
        summary = await run_plan(plan, registry, tmp_path / "run", watch=watch)
        await wait_for_free_memory(before - REST)
        return summary

    summary = asyncio.run(run())
    assert len(killer.processes) == 3
    assert (summary.status, summary.notes) == ("complete", ())
    with Store.read(tmp_path / "run") as store:
        cells = [
            (row.row_id, one)
            for row, generations in read_generations(store, read_run_info(store))
            for one in generations
        ]
    texts = {row["id"]: row["instruction"] for row in rows}
    assert len(cells) == 2 * len(rows)
    assert [cell["generation"] for _, cell in cells] == [answers[texts[row]] for row, _ in cells]
