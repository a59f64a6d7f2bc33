"""Backends over HTTP that break one promise each; in all else they are pool-openai's."""

import asyncio
import os
import urllib.error
import urllib.request
from dataclasses import replace

from pool_openai.backend import OpenAI

from pool_core.errors import BackendError
from pool_core.interfaces.values import Answer, Cause

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
