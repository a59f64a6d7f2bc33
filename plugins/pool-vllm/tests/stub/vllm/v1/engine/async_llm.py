"""The engine: words drawn by the seed, one a token."""

import asyncio
import json
import random
from dataclasses import dataclass, field

from jinja2 import Environment, TemplateError

from vllm.exceptions import GracefulHTTPError, VLLMClientError
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

WORDS = ["red", "blue", "green", "fox", "boat", "tree", "stone", "river"]
FAILURES = {
    "dead": EngineDeadError("the core ended"),
    "fails": EngineGenerateError("a kernel failed"),
    "full": GracefulHTTPError("the queue is full"),
    "wrong": VLLMClientError("no such thing"),
}


@dataclass
class CompletionOutput:
    text: str
    token_ids: list[int]
    finish_reason: str | None


@dataclass
class RequestOutput:
    outputs: list[CompletionOutput] = field(default_factory=list)
    finished: bool = True


class Tokenizer:
    chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"

    def apply_chat_template(self, messages, tokenize, add_generation_prompt):
        if messages[0]["role"] == "odd":
            raise TemplateError("no such role")
        return Environment(autoescape=False).from_string(self.chat_template).render(messages=messages)

    def encode(self, text, add_special_tokens=True):
        return [ord(character) for character in text]


class ModelConfig:
    def __init__(self, max_model_len):
        self.max_model_len = max_model_len


class AsyncLLM:
    def __init__(self, arguments):
        self.model_config = ModelConfig(arguments.max_model_len)
        self.tokenizer = Tokenizer()
        self.aborted = []
        self.stopped = False
        self.seconds = arguments.stub_seconds

    @classmethod
    def from_engine_args(cls, engine_args):
        if engine_args.model == "nowhere":
            raise OSError("nowhere is no model")
        made = cls(engine_args)
        if engine_args.model == "base":
            made.tokenizer.chat_template = None
        return made

    def get_tokenizer(self):
        return self.tokenizer

    def shutdown(self, timeout=None):
        self.stopped = True

    async def generate(self, prompt, sampling_params, request_id):
        assert sampling_params.output_kind is RequestOutputKind.FINAL_ONLY
        text = "".join(map(chr, prompt["prompt_token_ids"])).rpartition(": ")[2].strip()
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.aborted.append(request_id)
            raise
        if text in FAILURES:
            raise FAILURES[text]
        if text == "nothing":
            return
        if text == "abort":
            yield RequestOutput([CompletionOutput("", [], "abort")])
            return
        yield RequestOutput([self.make_output(text, sampling_params)])

    def make_output(self, text, parameters):
        if parameters.structured_outputs is not None:
            names = parameters.structured_outputs.json["required"]
            said = json.dumps(dict.fromkeys(names, "red"))
            return CompletionOutput(said, list(range(8)), "stop")
        draw = random.Random(f"{parameters.seed}" if parameters.seed is not None else None)
        words = [draw.choice(WORDS) for _ in range(12)]
        kept, finish = words[: parameters.max_tokens], "length" if parameters.max_tokens < 12 else "stop"
        said = " ".join(kept)
        for stop in parameters.stop or []:
            said, found, _ = said.partition(stop)
            finish = "stop" if found else finish
        return CompletionOutput(said, list(range(len(kept))), finish)
