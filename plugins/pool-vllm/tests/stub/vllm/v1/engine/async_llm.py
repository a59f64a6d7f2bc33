"""The engine: words drawn by the seed, one a token."""

import asyncio
import json
import os
import random
from dataclasses import dataclass, field

from jinja2 import Environment, TemplateError

from vllm.exceptions import GenerationError, GracefulHTTPError, VLLMClientError
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

WORDS = ["red", "blue", "green", "fox", "boat", "tree", "stone", "river"]
FAILURES = {
    "dead": EngineDeadError("the core ended"),
    "fails": EngineGenerateError("a kernel failed"),
    "lost": GenerationError("a worker is gone"),
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
        self.unfinished = []
        self.stopped = False
        self.started_by = os.environ.get("VLLM_WORKER_MULTIPROC_METHOD", "fork")
        self.seconds = arguments.stub_seconds

    @classmethod
    def from_engine_args(cls, engine_args):
        if engine_args.model == "nowhere":
            raise OSError("nowhere is no model")
        if engine_args.model == "broken":
            raise RuntimeError("Engine core initialization failed. See root cause above.")
        made = cls(engine_args)
        if engine_args.model == "base":
            made.tokenizer.chat_template = None
        return made

    def get_tokenizer(self):
        return self.tokenizer

    def shutdown(self, timeout=None):
        self.stopped = True

    async def abort(self, request_id, internal=False):
        self.unfinished = [one for one in self.unfinished if one != request_id]

    async def generate(self, prompt, sampling_params, request_id):
        assert sampling_params.output_kind is RequestOutputKind.FINAL_ONLY
        text = "".join(map(chr, prompt["prompt_token_ids"])).rpartition(": ")[2].strip()
        self.unfinished.append(request_id)
        await asyncio.sleep(0)  # sends it to the core; whoever gives it up now leaves it there
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            await self.abort(request_id)
            raise
        self.unfinished.remove(request_id)
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
