"""A right backend that works in the process, and ones that break one promise each."""

import asyncio
import itertools
import json
import random
import socket
import threading

from pydantic import Field

from pool_core.errors import BackendError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.batch_backend import BatchBackend
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.values import Answer, Capabilities, Cause, Usage


class RightConfig(PluginConfig):
    delay: float = Field(0.0, description="Seconds that an answer takes.")
    fails: bool = Field(False, description="Whether every call fails.")


class RightBackend(Backend[RightConfig]):
    Config = RightConfig
    cause = Cause.SERVER

    @classmethod
    def capabilities(cls, config, inner):
        return Capabilities(seed=True, stop=True, schema=True)

    @property
    def model(self):
        return "right"

    @property
    def endpoint(self):
        return "right:"

    async def generate(self, request):
        if self.config.fails:
            raise self.make_error()
        try:
            async with asyncio.timeout(request.timeout):
                await asyncio.sleep(self.config.delay)
        except TimeoutError:
            raise BackendError(Cause.TIMEOUT, "too late") from None
        return self.make_answer(request)

    def make_error(self):
        return BackendError(self.cause, "it failed")

    def make_answer(self, request):
        text = f"You said {request.prompt.messages[-1].content} to me."
        for stop in request.sampling.get("stop", ()):
            text = text.partition(stop)[0]
        if request.prompt.schema:
            text = json.dumps({"colour": "blue"})
        return Answer(text, "stop", Usage(1, 2))


class Contacts(RightBackend):
    def __init__(self, config):
        super().__init__(config)
        try:
            socket.create_connection(("127.0.0.1", 9), timeout=1)
        except OSError:
            pass


class Unnamed(RightBackend):
    endpoint = ""


class Counts(RightBackend):
    numbers = itertools.count()

    def encode(self, prompt, sampling):
        return super().encode(prompt, sampling) + b" %d" % next(self.numbers)


class EncodesAlike(RightBackend):
    def encode(self, prompt, sampling):
        return b"{}"


class ReturnsText(RightBackend):
    def make_answer(self, request):
        return "text"


class RaisesAnything(RightBackend):
    def make_answer(self, request):
        raise KeyError("choices")


class NoUsage(RightBackend):
    def make_answer(self, request):
        return Answer("You said it.", "stop")


class IgnoresSampling(RightBackend):
    def make_answer(self, request):
        return Answer(f"You said {random.random()} to me", "stop", Usage(1, 2))


class IgnoresStop(RightBackend):
    def make_answer(self, request):
        return Answer("You said it to me.", "stop", Usage(1, 2))


class Mixes(BatchBackend[RightConfig]):
    """Joins answers to requests by their order, and has its own idea of it."""

    Config = RightConfig
    capabilities, model, endpoint = RightBackend.capabilities, RightBackend.model, RightBackend.endpoint
    make_answer = RightBackend.make_answer

    async def generate_batch(self, requests):
        answers = [self.make_answer(request) for request in sorted(requests, key=lambda one: one.id)]
        return {request.id: answer for request, answer in zip(requests, answers, strict=True)}


class RightBatches(Mixes):
    """Joins answers to requests by id, and keeps the shortest time limit of a batch."""

    async def generate_batch(self, requests):
        try:
            async with asyncio.timeout(min(request.timeout for request in requests)):
                await asyncio.sleep(self.config.delay)
        except TimeoutError:
            raise BackendError(Cause.TIMEOUT, "too late") from None
        return {request.id: self.make_answer(request) for request in requests}


class Stays(RightBackend):
    async def generate(self, request):
        try:
            return await super().generate(request)
        except asyncio.CancelledError:
            return Answer("all the same")


class TakesItsTime(RightBackend):
    async def generate(self, request):
        await asyncio.sleep(self.config.delay)
        return self.make_answer(request)


class ClosesOnce(RightBackend):
    closed = False

    async def aclose(self):
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True


class LeavesTask(RightBackend):
    async def open(self):
        self.task = asyncio.create_task(asyncio.sleep(3600))


class NeedsOpen(RightBackend):
    async def open(self):
        self.client = object()

    async def generate(self, request):
        assert self.client
        return await super().generate(request)


class WrongCause(RightBackend):
    cause = Cause.PLUGIN


class ErrorWithLambda(RightBackend):
    def make_error(self):
        error = super().make_error()
        error.again = lambda: None
        return error


class HoldsLock(RightBackend):
    def __init__(self, config):
        super().__init__(config)
        self.lock = threading.Lock()


class BreaksARun(RightBackend):
    """Answers one call; further ones are turned away."""

    asked = False

    async def generate(self, request):
        if self.asked:
            raise BackendError(Cause.BAD_REQUEST, "one and no more")
        self.asked = True
        return await super().generate(request)


class Prints(RightBackend):
    async def generate(self, request):
        print("asked")  # noqa: T201
        return await super().generate(request)
