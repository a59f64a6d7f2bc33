"""The backend that passes on to another one and records its answers."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from typing import Any, Self

from pydantic import Field

from pool_core.errors import BackendError
from pool_core.interfaces.backend import Backend, BackendSpec
from pool_core.interfaces.config import PluginConfig, RecipePath
from pool_core.interfaces.values import Answer, Capabilities, Prompt, Request
from pool_replay.recording import Entry, RecordingWriter, encode_settings, identify_prompt, read_recording

__all__ = ["Record", "RecordConfig"]

_log = logging.getLogger(__name__)


class RecordConfig(PluginConfig):
    """Configuration of `Record`."""

    path: RecipePath = Field(description="The recording. It is made where it is missing, else added to.")
    backend: BackendSpec = Field(description="The backend that answers, with its configuration.")


class Record(Backend[RecordConfig]):
    """Is its inner backend in everything, and appends each answer to a recording as well.

    Errors are not recorded, nor is an answer to a request that the recording has already. The file
    is written within the event loop, one line in one write, so lines of different calls never mix.
    """

    Config = RecordConfig

    def __init__(self, config: RecordConfig, backend: Backend[Any]) -> None:
        super().__init__(config)
        self._backend = backend
        self._writer = RecordingWriter(config.path)
        self._recorded: set[Hashable] = set()
        self._incomplete = False

    @classmethod
    def build(cls, config: RecordConfig, inner: Mapping[str, Backend[Any]]) -> Self:
        return cls(config, inner["backend"])

    @classmethod
    def capabilities(cls, config: RecordConfig, inner: Mapping[str, Capabilities]) -> Capabilities:
        return inner["backend"]

    @property
    def model(self) -> str:
        return self._backend.model

    @property
    def endpoint(self) -> str:
        return self._backend.endpoint

    @property
    def identity(self) -> str:
        return self._backend.identity

    @property
    def quota(self) -> str:
        return self._backend.quota

    def encode(self, prompt: Prompt, sampling: Mapping[str, Any]) -> bytes:
        return self._backend.encode(prompt, sampling)

    def describe_headers(self) -> Mapping[str, str]:
        return self._backend.describe_headers()

    async def open(self) -> None:
        self._backend.pause, self._backend.folder = self.pause, self.folder
        self._writer.open()
        try:
            self._recorded = {_identify(entry) for entry in read_recording(self.config.path)}
            await self._backend.open()
        except BaseException:
            self._writer.close()
            raise

    async def refresh(self) -> bool:
        return await self._backend.refresh()

    async def generate(self, request: Request) -> Answer:
        answer = await self._backend.generate(request)
        entry = Entry(self.model, request.prompt, request.sample, answer, request.sampling)
        key = _identify(entry)
        if key not in self._recorded:
            self._recorded.add(key)
            self._append(entry)
        return answer

    def note_durable(self) -> None:
        self._backend.note_durable()

    async def aclose(self) -> None:
        self._writer.close()
        await self._backend.aclose()

    def _append(self, entry: Entry) -> None:
        """Record ``entry``. The answer is paid for, so a failure does not withhold it: the first one is logged."""
        try:
            self._writer.append(entry)
        except BackendError as error:
            if not self._incomplete:
                _log.error("the recording is incomplete: %s", error)
            self._incomplete = True


def _identify(entry: Entry) -> Hashable:
    settings = encode_settings(entry.prompt.schema, entry.sampling)
    return (entry.model, identify_prompt(entry.prompt), entry.sample, settings)
