"""A tiny model that the tests make: random weights that learn a few answers by heart in seconds. Nothing is fetched."""

from __future__ import annotations

import json
import os
from itertools import count

import pytest

from pool_core.interfaces.values import Message, Prompt, Request

SPECIALS = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
#: What the model learns.
ANSWERS = {
    f"Describe the {colour} {thing}.": json.dumps({"thing": thing, "colour": colour})
    for colour in ("red", "blue", "green", "black")
    for thing in ("fox", "boat", "tree", "stone")
}
MOST_STEPS = 1000
#: Loss at which it knows them by heart.
KNOWN = 0.003


def make_tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([f"system user assistant {asked} {said}" for asked, said in ANSWERS.items()], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="<|im_end|>",
        pad_token="</s>",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_model(tokenizer, heads=4):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=heads,
            num_key_value_heads=heads // 2,
            max_position_embeddings=256,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    asked = [
        tokenizer.apply_chat_template([{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True)
        for text in ANSWERS
    ]
    texts = [prompt + said + tokenizer.eos_token for prompt, said in zip(asked, ANSWERS.values(), strict=True)]
    batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right")
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    for row, prompt in enumerate(asked):
        labels[row, : len(tokenizer(prompt)["input_ids"])] = -100  # a question cannot be foreseen
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for _ in range(MOST_STEPS):
        loss = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss
        if loss.item() < KNOWN:
            return model.eval()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    raise RuntimeError(f"the tiny model has not learnt its answers in {MOST_STEPS} steps: {loss.item()}")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """The folder of a model that knows `ANSWERS`."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["OMP_NUM_THREADS"] = "1"  # of processes that are started: more threads only wait for each other here
    for module in ("torch", "transformers"):
        pytest.importorskip(module, reason=f"{module} is not installed; the environment `engines` of tox has it")
    folder = tmp_path_factory.mktemp("tiny") / "knows-by-heart"
    tokenizer = make_tokenizer()
    make_model(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def answers():
    return ANSWERS


@pytest.fixture
def make_request():
    ids = count(1)

    def make(text, *, system=None, prompt=None, **sampling):
        turns = (Message("system", system),) if system else ()
        prompt = prompt or Prompt((*turns, Message("user", text)))
        return Request(next(ids), prompt, sampling, 0, b"", 300.0)

    return make
