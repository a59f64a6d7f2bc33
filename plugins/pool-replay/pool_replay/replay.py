"""The backend that answers from a recording."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from pool_core.errors import BackendError
from pool_core.interfaces.backend import Backend
from pool_core.interfaces.config import PluginConfig, RecipePath
from pool_core.interfaces.values import Answer, Capabilities, Cause, Prompt, Request
from pool_replay.recording import Entry, encode_settings, identify_prompt, read_recording

__all__ = ["Recording", "Replay", "ReplayConfig", "wait"]

_SHOWN = 5
_SHOWN_CHARACTERS = 80


class ReplayConfig(PluginConfig):
    """Configuration of `Replay`."""

    model: str = Field(description="Answers of this model are replayed.")
    path: RecipePath = Field(description="The recording.")
    match: Literal["exact", "user"] = Field(
        default="exact",
        description="What a recorded prompt has to share with the one asked: `exact` all messages, "
        "`user` the last user message.",
    )
    takes: Literal["chat", "text"] = Field(
        default="chat", description="Whether the recorded prompts are chat messages or one text."
    )
    json_schema: bool | None = Field(
        default=None,
        description="Whether the recorded backend constrained answers to a JSON Schema; if not, the schema stands in "
        "the recorded prompts. Default: it did where it took chat messages.",
    )
    latency: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="Seconds that each answer takes.")


class Replay(Backend[ReplayConfig]):
    """Answers each request as its recording does, byte for byte.

    Where a prompt was recorded several times for one sample, the entry with the same sampling
    parameters and schema answers, and the first one where there is none.
    """

    Config = ReplayConfig

    def __init__(self, config: ReplayConfig) -> None:
        super().__init__(config)
        self._recording: Recording | None = None
        self._digest = ""

    @classmethod
    def capabilities(cls, config: ReplayConfig, inner: Mapping[str, Capabilities]) -> Capabilities:
        """A recording repeats whatever its model could do."""
        constrains = config.takes == "chat" if config.json_schema is None else config.json_schema
        return Capabilities(takes=config.takes, seed=True, stop=True, schema=constrains)

    @property
    def model(self) -> str:
        return self.config.model

    @property
    def endpoint(self) -> str:
        return f"replay:{self.config.path.name}"

    @property
    def identity(self) -> str:
        """How the file is matched, and a digest of its content: a changed recording is asked again.

        The file is read when this is first asked for. A file that cannot be read has no digest; `open` says why.
        """
        if not self._digest:
            try:
                with self.config.path.open("rb") as file:
                    self._digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
            except OSError:
                return self.endpoint
        return f"{self.endpoint}?match={self.config.match}&sha256={self._digest}"

    @property
    def quota(self) -> str:
        """Each model of a recording is a server of its own."""
        return f"replay:{self.config.path}:{self.config.model}"

    async def open(self) -> None:
        import asyncio  # noqa: PLC0415 - a recipe is checked without it

        self._recording = await asyncio.to_thread(Recording, self.config.path, self.config.match)

    async def generate(self, request: Request) -> Answer:
        if self._recording is None:
            raise BackendError(Cause.PLUGIN, f"the recording {self.config.path} is not open", hint="Call `open` first.")
        await wait(self.config.latency, request.timeout)
        return self._recording.find(self.config.model, request)

    async def aclose(self) -> None:
        self._recording = None


async def wait(seconds: float, limit: float) -> None:
    """Take as long as a model would.

    Raises:
        BackendError: the time limit of the call ends first.
    """
    import asyncio  # noqa: PLC0415

    if seconds > limit:
        await asyncio.sleep(limit)
        raise BackendError(Cause.TIMEOUT, f"no answer within {limit:g} s")
    if seconds > 0:
        await asyncio.sleep(seconds)


class Recording:
    """The entries of a recording, found by model, prompt and sample.

    Raises:
        BackendError: the file cannot be read or a line is wrong.
    """

    def __init__(self, path: Path, match: Literal["exact", "user"]) -> None:
        self._path = path
        self._match = match
        self._entries: dict[Hashable, list[Entry]] = {}
        self._models: set[str] = set()
        for entry in read_recording(path):
            self._models.add(entry.model)
            self._entries.setdefault(self._identify(entry.model, entry.prompt, entry.sample), []).append(entry)
        self._overview: _Overview | None = None

    def find(self, model: str, request: Request) -> Answer:
        """The answer to ``request``.

        Raises:
            BackendError: the recording has none; the hint says what it has instead.
        """
        entries = self._entries.get(self._identify(model, request.prompt, request.sample))
        if entries is None:
            raise BackendError(
                Cause.BAD_REQUEST,
                f"the recording {self._path} has no answer of {model} for this prompt",
                stops_member=model not in self._models,
                hint=self._explain_miss(model, request),
            )
        if len(entries) > 1:
            settings = encode_settings(request.prompt.schema, request.sampling)
            for entry in entries:
                if encode_settings(entry.prompt.schema, entry.sampling) == settings:
                    return entry.answer
        return entries[0].answer

    def _identify(self, model: str, prompt: Prompt, sample: int) -> Hashable:
        return (model, identify_prompt(_keep_user_message(prompt) if self._match == "user" else prompt), sample)

    def _explain_miss(self, model: str, request: Request) -> str:
        if self._overview is None:
            every = (entry for entries in self._entries.values() for entry in entries)
            self._overview = _Overview(every, lambda prompt: self._identify("", prompt, 0))
        return self._overview.explain_miss(model, request)


def _keep_user_message(prompt: Prompt) -> Prompt:
    """The prompt with its last user message alone, where it has one."""
    for message in reversed(prompt.messages):
        if message.role == "user":
            return Prompt((message,))
    return prompt


class _Overview:
    """What a recording has, arranged to say what differs from a request that it does not have."""

    def __init__(self, entries: Iterable[Entry], identify: Callable[[Prompt], Hashable]) -> None:
        self._identify = identify
        self._prompts: dict[str, set[Hashable]] = {}
        self._takes: dict[str, set[str]] = {}
        self._samples: dict[tuple[str, Hashable], set[int]] = {}
        self._models: dict[Hashable, set[str]] = {}
        self._relatives: dict[tuple[str, Hashable], Prompt] = {}
        for entry in entries:
            prompt = identify(entry.prompt)
            self._prompts.setdefault(entry.model, set()).add(prompt)
            self._takes.setdefault(entry.model, set()).add("chat" if entry.prompt.text is None else "text")
            self._samples.setdefault((entry.model, prompt), set()).add(entry.sample)
            self._models.setdefault(prompt, set()).add(entry.model)
            user = identify_prompt(_keep_user_message(entry.prompt))
            self._relatives.setdefault((entry.model, user), entry.prompt)

    def explain_miss(self, model: str, request: Request) -> str:
        """What the recording has instead of an answer of ``model`` to ``request``, and what to do."""
        if not self._prompts:
            return "The recording is empty. The backend `record` fills it."
        return f"{self._find_difference(model, request)} Models in the recording: {_join(self._prompts)}."

    def _find_difference(self, model: str, request: Request) -> str:
        prompt = self._identify(request.prompt)
        if samples := self._samples.get((model, prompt)):
            return f"It has this prompt with sample {_join(samples)}, not with sample {request.sample}."
        if models := self._models.get(prompt):
            return f"It has this prompt for {_join(models)}: check `model`."
        if model not in self._prompts:
            return f"It has nothing of {model}: check `model`."
        if (takes := "text" if request.prompt.text is not None else "chat") not in self._takes[model]:
            return f"Its prompts of {model} are not of the kind that `takes: {takes}` asks for."
        user = identify_prompt(_keep_user_message(request.prompt))
        if relative := self._relatives.get((model, user)):
            return (
                f"It has the same user message with {_describe_system(relative)}, not with "
                f"{_describe_system(request.prompt)}. Make the task's prompt the same, or set `match: user`."
            )
        return f"It has {len(self._prompts[model])} other prompts of {model}. The backend `record` adds this one."


def _describe_system(prompt: Prompt) -> str:
    system = [message.content for message in prompt.messages if message.role == "system"]
    turns = len(prompt.messages) - len(system)
    text = f"the system prompt {_shorten(system[0])}" if system else "no system prompt"
    return f"{text} and {turns} turns" if turns > 1 else text


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _join(values: Iterable[str | int]) -> str:
    """List the first few of ``values``, in order."""
    ordered = [str(value) for value in sorted(values)]
    more = f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
    return ", ".join(ordered[:_SHOWN]) + more
