"""Backends over HTTP that break one promise each; in all else they are pool-openai's."""

import asyncio
import os
import urllib.error
import urllib.request
from dataclasses import replace

from pool_openai.backend import OpenAI

from pool_core.errors import BackendError
from pool_core.interfaces.values import Answer, Cause, Usage

VARIABLE = "POOL_CONFORMANCE_KEY"


class ChangesBody(OpenAI):
    async def generate(self, request):
        return await super().generate(replace(request, body=request.body + b" "))


class Strips(OpenAI):
    async def generate(self, request):
        answer = await super().generate(request)
        return replace(answer, text=answer.text.strip())


class OneAtATime(OpenAI):
    async def open(self):
        await super().open()
        self.lock = asyncio.Lock()

    async def generate(self, request):
        async with self.lock:
            return await super().generate(request)


class SendsTwice(OpenAI):
    async def generate(self, request):
        await super().generate(request)
        return await super().generate(request)


class AlwaysServer(OpenAI):
    async def generate(self, request):
        try:
            return await super().generate(request)
        except BackendError as error:
            raise BackendError(Cause.SERVER, error.message) from None


class Retries(OpenAI):
    async def generate(self, request):
        try:
            return await super().generate(request)
        except BackendError:
            return await super().generate(request)


class Follows(OpenAI):
    async def generate(self, request):
        asked = urllib.request.Request(self.config.url, request.body)
        return await asyncio.to_thread(self.ask, asked)

    def ask(self, asked):
        try:
            with urllib.request.urlopen(asked) as reply:
                return Answer(reply.read().decode())
        except urllib.error.HTTPError as error:
            error.close()
            return Answer("not there")


class KeepsKey(OpenAI):
    async def open(self):
        await super().open()
        self.key = os.environ[VARIABLE]


class TellsKey(OpenAI):
    async def generate(self, request):
        try:
            return await super().generate(request)
        except BackendError as error:
            raise BackendError(error.cause, f"{error.message} (key {os.environ[VARIABLE]})") from None


class NeedsNoKey(OpenAI):
    async def open(self):
        try:
            await super().open()
        except BackendError:
            pass


class NeverRefreshes(OpenAI):
    async def refresh(self):
        await super().refresh()
        return False


class HidesEnd(OpenAI):
    async def generate(self, request):
        return replace(await super().generate(request), finish_reason="stop")


class HidesRefusal(OpenAI):
    async def generate(self, request):
        return replace(await super().generate(request), refusal=None)


class SwapsUsage(OpenAI):
    async def generate(self, request):
        answer = await super().generate(request)
        usage = answer.usage and Usage(answer.usage.output_tokens, answer.usage.input_tokens)
        return replace(answer, usage=usage)


class InventsUsage(OpenAI):
    async def generate(self, request):
        answer = await super().generate(request)
        return replace(answer, usage=answer.usage or Usage(1, 1))


class DropsSystem(OpenAI):
    def encode(self, prompt, sampling):
        kept = tuple(message for message in prompt.messages if message.role != "system")
        return super().encode(replace(prompt, messages=kept), sampling)


class DropsTurns(OpenAI):
    def encode(self, prompt, sampling):
        kept = tuple(message for message in prompt.messages[:-1] if message.role == "system")
        return super().encode(replace(prompt, messages=(*kept, *prompt.messages[-1:])), sampling)


class DropsLimit(OpenAI):
    def encode(self, prompt, sampling):
        return super().encode(prompt, {name: value for name, value in sampling.items() if name != "max_tokens"})
