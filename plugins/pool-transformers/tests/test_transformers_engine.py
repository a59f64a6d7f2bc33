"""The engine for real, with a tiny model that the tests make. Skipped where torch is not installed."""

# ruff: noqa: E402 - imports that need torch stand behind the look whether it is there

from __future__ import annotations

import asyncio
import copy
import json
import os
import shutil
import signal

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; the environment `engines` of tox has it")
pytest.importorskip("transformers", reason="transformers is not installed; the environment `engines` of tox has it")

from pool_transformers.backend import Transformers
from pool_transformers.config import TransformersConfig
from pool_transformers.engine import TorchEngine
from pool_transformers.rows import Job
from pool_transformers.sampling import EachRowSamples

from pool_core.errors import BackendError
from pool_core.interfaces.isolation import Isolation
from pool_core.interfaces.values import Answer, Cause, Message, Prompt
from pool_core.isolation.backend import Isolated
from pool_core.isolation.messages import describe_backend


@pytest.fixture(scope="module")
def engine(tiny_model):
    torch.set_num_threads(1)
    return TorchEngine.load(TransformersConfig(model=str(tiny_model)))


def ask(engine, *jobs):
    return [one.text if isinstance(one, Answer) else one for one in engine.generate(jobs)]


def make_job(text, **keys):
    return Job(Prompt.chat(text), keys.pop("max_tokens", 60), **keys)


def test_it_knows_what_it_has_learnt_in_batches_of_different_lengths(engine, answers):
    asked = [*answers, "Describe the red fox."]
    found = engine.generate([make_job(text, temperature=0) for text in asked])
    assert [one.text for one in found] == [answers[text] for text in asked]
    assert {one.finish_reason for one in found} == {"stop"}
    assert {one.model for one in found} == {"knows-by-heart"}


def test_usage_is_the_rows_own(engine, answers):
    short, long = "Describe the red fox.", "Describe the red fox. " * 4
    alone = [engine.generate([make_job(text, temperature=0)])[0].usage for text in (short, long)]
    together = [one.usage for one in engine.generate([make_job(text, temperature=0) for text in (short, long)])]
    assert [usage.input_tokens for usage in alone] == [usage.input_tokens for usage in together]
    assert alone[0] == together[0]
    tokens = engine._tokenizer(answers[short], add_special_tokens=False)["input_ids"]
    assert alone[0].output_tokens == len(tokens) + 1  # and the end of the turn


def test_a_seed_decides_a_row_whatever_stands_beside_it(engine):
    job = make_job("Describe it.", temperature=2.0, seed=5, max_tokens=20)
    others = [make_job(f"Describe the {n} boats.", temperature=2.0, seed=n, max_tokens=20) for n in range(3)]
    [alone] = ask(engine, job)
    assert ask(engine, *others, job)[3] == ask(engine, job, *others)[0] == alone
    assert len(set(ask(engine, *(make_job("Describe it.", temperature=2.0, seed=n) for n in range(5))))) == 5
    without = [make_job("Describe it.", temperature=2.0) for _ in range(5)]
    assert len(set(ask(engine, *without))) == 5


def test_the_sample_is_one_of_the_softmax(engine):
    """What is drawn has the frequencies of the probabilities: a chi-squared test, of fixed seeds."""
    logits, draws = torch.tensor([0.0, 1.0, 2.0, 0.5, -1.0, 1.5]), 2000
    expected = torch.softmax(logits / 1.5, -1) * draws
    jobs = [make_job("", temperature=1.5, seed=seed) for seed in range(draws)]
    rows = torch.zeros((draws, 1), dtype=torch.long)
    scores = EachRowSamples(jobs, engine._own, [0] * draws)(rows, logits.expand(draws, -1))
    found = scores.argmax(-1).bincount(minlength=len(logits))
    assert float(((found - expected) ** 2 / expected).sum()) < 15.1  # the 99th percentile with 5 degrees of freedom


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}, {"temperature": 0}])
def test_parameters_that_leave_one_token_leave_one_text(engine, answers, narrow):
    asked = "Describe the blue tree."
    assert (
        ask(engine, *(make_job(asked, **{"temperature": 1.0, "seed": n, **narrow}) for n in range(3)))
        == [answers[asked]] * 3
    )


def test_each_row_has_its_own_parameters(engine, answers):
    asked = "Describe the blue tree."
    found = engine.generate(
        [
            make_job(asked, temperature=0),
            make_job(asked, temperature=0, max_tokens=3),
            make_job(asked, temperature=0, stop=("colour",)),
            make_job(asked, temperature=0, stop=("nowhere", '"tree"')),
        ]
    )
    assert [one.text for one in found][::2] == [answers[asked], '{"thing": "tree", "']
    assert (found[1].finish_reason, found[1].usage.output_tokens) == ("length", 3)
    assert answers[asked].startswith(found[1].text)
    assert (found[3].text, found[3].finish_reason) == ('{"thing": ', "stop")
    assert found[2].usage.output_tokens < found[0].usage.output_tokens


@pytest.fixture
def load_with(tiny_model, tmp_path):
    """Load a copy of the model whose own generation configuration says something."""

    def load(**own):
        shutil.copytree(tiny_model, tmp_path / "model")
        path = tmp_path / "model" / "generation_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | own))
        return TorchEngine.load(TransformersConfig(model=str(tmp_path / "model")))

    return load


def test_without_a_temperature_the_model_decides_how(engine, load_with, answers):
    asked = "Describe the blue tree."
    assert ask(engine, make_job(asked)) == [answers[asked]]
    hot = load_with(do_sample=True, temperature=5.0)
    assert len(set(ask(hot, *(make_job(asked, seed=n) for n in range(4))))) > 1
    assert len(set(ask(hot, *(make_job(asked, seed=1) for n in range(3))))) == 1
    assert ask(hot, *[make_job(asked, temperature=0)] * 3) == [answers[asked]] * 3


def test_the_models_own_beams_are_left_out(load_with, answers):
    engine = load_with(num_beams=3)
    assert ask(engine, *(make_job(text, temperature=0) for text in answers)) == list(answers.values())


def test_the_models_own_penalty_holds_where_the_request_has_none(engine, load_with):
    asked = ["Describe the red fox.", "Describe the blue tree of the green stone."]
    expected = ask(engine, *(make_job(text, temperature=0, repetition_penalty=5.0) for text in asked))
    own = load_with(repetition_penalty=5.0)
    assert ask(own, *(make_job(text, temperature=0) for text in asked)) == expected
    plain = ask(engine, *(make_job(text, temperature=0) for text in asked))
    assert ask(own, *(make_job(text, temperature=0, repetition_penalty=1.0) for text in asked)) == plain != expected


def test_padding_is_no_part_of_a_row(engine):
    """A model without a token for padding pads with the end of its turn, which a penalty would then make unlikely."""
    tokenizer = copy.deepcopy(engine._tokenizer)
    tokenizer.pad_token = None
    ending = TorchEngine(engine._model, tokenizer, "m")
    job = Job(Prompt(text='{"thing": "fox", "colour": "red"'), 20, temperature=0, repetition_penalty=5.0)
    long = Job(Prompt(text="Describe the green stone. " * 4), 20, temperature=0)
    assert ask(ending, job, long)[0] == ask(ending, job)[0]


def test_text_is_taken_as_it_is(engine):
    text = engine._tokenizer.apply_chat_template(
        [{"role": "user", "content": "Describe the black fox."}], tokenize=False, add_generation_prompt=True
    )
    assert ask(engine, Job(Prompt(text=text), 60, temperature=0)) == ['{"thing": "fox", "colour": "black"}']


def test_a_prompt_that_does_not_fit_fails_alone_and_an_answer_ends_at_the_window(engine, answers):
    asked = "Describe the red fox."
    [fine, long] = engine.generate([make_job(asked, temperature=0), make_job("x " * 400, temperature=0)])
    assert fine.text == answers[asked]
    assert long.cause is Cause.CONTEXT_LENGTH
    assert str(long).startswith("the prompt has ")
    assert str(long).endswith(" tokens, and the model takes 256 with the answer\n  shorten the prompt")
    [cut] = engine.generate([make_job("x " * 110, temperature=5.0, seed=1, max_tokens=10_000)])
    assert cut.usage.input_tokens + cut.usage.output_tokens <= 256


@pytest.mark.filterwarnings("ignore:You are calling .generate")
def test_first_layers_may_be_left_elsewhere_by_a_map(tiny_model, answers):
    """They lie on "meta" then, as those do that a map leaves to the processor beside a GPU."""
    pytest.importorskip("accelerate", reason="accelerate is not installed; the environment `engines` of tox has it")
    places = dict.fromkeys(["model.rotary_emb", "model.layers", "model.norm", "lm_head"], "cpu")
    config = TransformersConfig(model=str(tiny_model), device_map={"model.embed_tokens": "disk", **places})
    engine = TorchEngine.load(config)
    assert engine._model.device.type == "meta"
    assert ask(engine, make_job("Describe the red fox.", temperature=0)) == [answers["Describe the red fox."]]


def test_a_template_that_refuses_says_so(tiny_model):
    engine = TorchEngine.load(TransformersConfig(model=str(tiny_model)))
    engine._tokenizer.chat_template = "{{ raise_exception('no such role') }}"
    [error] = engine.generate([Job(Prompt((Message("odd", "hi"),)), 5)])
    assert (error.cause, str(error)) == (Cause.BAD_REQUEST, "the model's chat template refuses it: no such role")


def raise_as_a_gpu():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB.\nmore")


@pytest.mark.parametrize("fail", [raise_as_a_gpu, lambda: torch.empty(1 << 60)], ids=["gpu", "processor"])
def test_no_room_for_a_batch_is_told_and_halved(tiny_model, answers, monkeypatch, make_request, fail):
    """A GPU's allocator is played, and the processor's asked for what nobody has: everything else is real."""
    sizes = []

    def forward(self, *arguments, **options):
        rows = (options.get("input_ids") if options.get("input_ids") is not None else arguments[0]).shape[0]
        sizes.append(rows)
        if rows > 2:
            fail()
        return original(self, *arguments, **options)

    from transformers import LlamaForCausalLM

    original = LlamaForCausalLM.forward
    monkeypatch.setattr(LlamaForCausalLM, "forward", forward)

    async def run():
        backend = Transformers(TransformersConfig(model=str(tiny_model), batch_size=8, max_wait_ms=1000))
        await backend.open()
        try:
            calls = [backend.generate(make_request(text, temperature=0)) for text in list(answers)[:8]]
            return [answer.text for answer in await asyncio.gather(*calls)]
        finally:
            await backend.aclose()

    assert asyncio.run(run()) == list(answers.values())[:8]
    assert max(sizes) == 8
    assert sizes.index(4) < sizes.index(2)


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda folder: (folder / "config.json").unlink(), "cannot be loaded: "),
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot be loaded: "),
        (lambda folder: (folder / "chat_template.jinja").unlink(), "has no chat template\n  write `takes: text`"),
    ],
)
def test_a_model_that_cannot_be_used_says_why(tiny_model, tmp_path, spoil, text):
    folder = tmp_path / "copy"
    shutil.copytree(tiny_model, folder)
    spoil(folder)
    with pytest.raises(BackendError) as caught:
        TorchEngine.load(TransformersConfig(model=str(folder)))
    assert f"the model {folder} {text}" in str(caught.value)


def test_it_answers_from_a_process_of_its_own_and_survives_a_kill(tiny_model, answers, make_request):
    config = TransformersConfig(model=str(tiny_model), batch_size=4)
    sent = describe_backend("transformers/transformers", Transformers, config, {})

    async def run():
        backend = Isolated(Transformers(config), sent, Isolation(silence=120), "cpu", bills=False)
        await backend.open()
        try:
            before = backend._child._process.pid
            first = await asyncio.gather(*(backend.generate(make_request(a, temperature=0)) for a in answers))
            os.kill(before, signal.SIGKILL)
            while True:
                try:
                    again = await backend.generate(make_request("Describe the red fox.", temperature=0))
                    break
                except BackendError as error:
                    if error.stops_member:
                        raise
                    await asyncio.sleep(0.1)
            assert backend._child._process.pid != before
            return [answer.text for answer in first], json.loads(again.text)
        finally:
            await backend.aclose()

    said, again = asyncio.run(run())
    assert said == list(answers.values())
    assert again == {"thing": "fox", "colour": "red"}
