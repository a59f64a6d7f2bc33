"""A tiny GGUF file that the tests write: seeded random weights and a vocabulary of bytes. Nothing is fetched."""

from __future__ import annotations

from itertools import count

import pytest

from pool_core.interfaces.values import Message, Prompt, Request

SPECIALS = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LAYERS, WIDTH, INNER, HEADS, KEY_HEADS, CONTEXT = 2, 64, 128, 4, 2, 512


def list_bytes():
    """The printable stand-in of each of the 256 bytes, as byte-level BPE writes them."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    spare = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(spare)) for byte in range(256)]


def make_tensors(vocabulary):
    """Weights of a Llama. Column 0 of the stream is constant, so that of the last matrix is a bias for each token."""
    import numpy as np

    random = np.random.default_rng(0)

    def matrix(rows, columns, *, blind=False):
        made = random.standard_normal((rows, columns)) / columns**0.5
        if blind:
            made[:, 0] = 0.0  # does not see the constant
        return made.astype(np.float32)

    tensors = {"token_embd.weight": matrix(len(vocabulary), WIDTH)}
    tensors["token_embd.weight"][:, 0] = 1.0
    keys = WIDTH // HEADS * KEY_HEADS
    shapes = {"attn_q": WIDTH, "attn_k": keys, "attn_v": keys, "ffn_gate": INNER, "ffn_up": INNER}
    for layer in range(LAYERS):
        for name, rows in shapes.items():
            tensors[f"blk.{layer}.{name}.weight"] = matrix(rows, WIDTH, blind=True)
        for name, columns in (("attn_output", WIDTH), ("ffn_down", INNER)):
            tensors[f"blk.{layer}.{name}.weight"] = matrix(WIDTH, columns)
            tensors[f"blk.{layer}.{name}.weight"][0, :] = 0.0  # does not change the constant
        for name in ("attn_norm", "ffn_norm"):
            tensors[f"blk.{layer}.{name}.weight"] = np.ones(WIDTH, np.float32)
    tensors["output_norm.weight"] = np.ones(WIDTH, np.float32)
    last = matrix(len(vocabulary), WIDTH)
    printable = [len(SPECIALS) <= n and 0x20 <= n - len(SPECIALS) < 0x7F for n in range(len(vocabulary))]
    last[:, 0] = np.where(printable, 0.0, -30.0)
    tensors["output.weight"] = last
    return tensors


def write_model(path, *, template=CHAT_TEMPLATE):
    import gguf

    vocabulary = [*SPECIALS, *list_bytes(), "th"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(vocabulary))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary)
    kinds = [gguf.TokenType.CONTROL] * len(SPECIALS) + [gguf.TokenType.NORMAL] * 257
    writer.add_token_types(kinds)
    writer.add_token_merges(["t h"])  # it has to have one
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(4)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(False)
    if template:
        writer.add_chat_template(template)
    for name, tensor in make_tensors(vocabulary).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory):
    """A model that writes printable nonsense without end."""
    for module in ("llama_cpp", "gguf"):
        pytest.importorskip(module, reason=f"{module} is not installed; the environment `llama` of tox has it")
    return write_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture(scope="session")
def gguf_without_template(tmp_path_factory, tiny_gguf):
    return write_model(tmp_path_factory.mktemp("tiny") / "plain.gguf", template="")


@pytest.fixture
def make_request():
    ids = count(1)

    def make(text, *, prompt=None, **sampling):
        return Request(next(ids), prompt or Prompt((Message("user", text),)), sampling, 0, b"", 300.0)

    return make
