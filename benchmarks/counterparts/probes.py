"""What is asked of a server, through the backend ``openai``, and what the answers say of each parameter.

A server that ignores a parameter answers with status 200 as one that heeds it does, so a verdict is about what came
back: `Seen`. Each probe is one function, named after its row in the table.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from counterparts.start import Running
from pool_core.errors import BackendError
from pool_core.interfaces.values import Answer, Prompt, Request

__all__ = ["PROBES", "Probe", "Seen", "probe_all"]

Verdict: TypeAlias = Literal["honoured", "ignored", "refused", "answered", "partly", "untold"]

#: One that the model of transformers knows by heart; the others say whatever they say.
_QUESTION = "Describe the red fox."
#: Tokens of an answer that need not end by itself.
_TOKENS = 24
#: Seconds for a call.
_LIMIT = 120.0
#: High enough for any model to say something else each time.
_HOT = 1.9
_CALLS = 8
_UNSEEN = "not to be seen in one answer"
_SCHEMA = {
    "type": "object",
    "properties": {"verdict": {"type": "string", "enum": ["good", "bad"]}, "sure": {"type": "boolean"}},
    "required": ["verdict", "sure"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a server makes of one parameter."""

    verdict: Verdict
    #: What was seen, in few words; empty where the verdict says it all.
    note: str = ""
    #: What the backend logged of it.
    told: str = ""


@dataclass(slots=True)
class Asker:
    """Asks one server."""

    running: Running
    #: What the backend has logged since it was last looked at.
    told: list[str] = field(default_factory=list)

    async def ask(
        self,
        sampling: Mapping[str, Any] | None = None,
        *,
        text: str = _QUESTION,
        schema: Mapping[str, Any] | None = None,
        add: Mapping[str, Any] | None = None,
        **config: Any,
    ) -> Answer | BackendError:
        """One call of a backend of its own. ``add`` are fields that are put into the body behind its back."""
        from pool_openai.backend import OpenAI  # noqa: PLC0415 - the page is written where it is not installed
        from pool_openai.config import OpenAIConfig  # noqa: PLC0415 - as above

        backend = OpenAI(OpenAIConfig(**{"model": self.running.model, "base_url": self.running.url, **config}))
        is_text = backend.config.api == "completions"
        prompt = Prompt(text=text) if is_text else Prompt(Prompt.chat(text).messages, schema=schema)
        asked = {"max_tokens": _TOKENS, "temperature": 0.0} | dict(sampling or {})
        body = json.loads(backend.encode(prompt, asked)) | dict(add or {})
        request = Request(0, prompt, asked, 0, json.dumps(body).encode(), _LIMIT)
        await backend.open()
        try:
            return await backend.generate(request)
        except BackendError as error:
            return error
        finally:
            await backend.aclose()

    async def ask_text(self, sampling: Mapping[str, Any] | None = None, **more: Any) -> str:
        """The text of a call that has to be answered. Raises `BackendError` where it is not."""
        said = await self.ask(sampling, **more)
        if isinstance(said, BackendError):
            raise said
        return said.text or ""


Run: TypeAlias = Callable[[Asker], Awaitable[Seen]]


@dataclass(frozen=True, slots=True)
class Probe:
    """One row of the table."""

    name: str
    #: What is sent, for people.
    sent: str
    run: Run
    #: What the backend does about a server that does not honour it.
    here: str = ""
    #: The verdict is the same each time, and not a matter of how calls meet.
    steady: bool = True


PROBES: list[Probe] = []


def _probe(name: str, sent: str, here: str = "", *, steady: bool = True) -> Callable[[Run], Run]:
    def add(run: Run) -> Run:
        PROBES.append(Probe(name, sent, run, here, steady))
        return run

    return add


async def probe_all(running: Running) -> dict[str, Seen]:
    """Every probe, by name."""
    asker = Asker(running)
    found = {}
    with _Listener(asker.told):
        for probe in PROBES:
            asker.told.clear()
            try:
                seen = await probe.run(asker)
            except BackendError as error:
                seen = _refuse(error)
            found[probe.name] = replace(seen, told=_clean(asker.told[0], running) if asker.told else "")
    return found


class _Listener(logging.Handler):
    """Collects what the backend logs, while its block runs."""

    def __init__(self, told: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._told = told
        self._loggers = [logging.getLogger(name) for name in ("pool_core.http", "pool_openai")]

    def emit(self, record: logging.LogRecord) -> None:
        self._told.append(record.getMessage())

    def __enter__(self) -> None:
        for logger in self._loggers:
            logger.addHandler(self)
            logger.propagate = False

    def __exit__(self, *_: object) -> None:
        for logger in self._loggers:
            logger.removeHandler(self)
            logger.propagate = True


def _clean(told: str, running: Running) -> str:
    """What was logged, without the address and the names of this machine."""
    return told.partition("completions: ")[2].replace(running.model, "MODEL")


def _refuse(error: BackendError) -> Seen:
    """A call that failed: by its cause, as the engine sees it."""
    return Seen("refused", f"`{error.cause}`" + (", stops the member" if error.stops_member else ""))


@_probe("chat", "messages to `/chat/completions`")
async def chat(asker: Asker) -> Seen:
    return Seen("honoured" if await asker.ask_text() else "ignored")


@_probe("text completions", "one text to `/completions`")
async def text_completions(asker: Asker) -> Seen:
    return Seen("honoured" if await asker.ask_text(api="completions") else "ignored")


@_probe("usage", "nothing", "budgets and limits of tokens count what they guess")
async def usage(asker: Asker) -> Seen:
    said = await asker.ask()
    if isinstance(said, BackendError):
        return _refuse(said)
    counts = said.usage
    return Seen("honoured" if counts and counts.input_tokens and counts.output_tokens else "ignored")


async def _shorten(asker: Asker, **sent: Any) -> Seen:
    """Whether an answer ends after as many tokens as ``sent`` says, and says why."""
    long = await asker.ask_text()
    sampling = {"max_tokens": None, **sent}
    said = await asker.ask(sampling)
    if isinstance(said, BackendError):
        return _refuse(said)
    if len(said.text or "") >= len(long):
        return Seen("ignored")
    if said.finish_reason != "length":
        return Seen("partly", f"shorter, but finish_reason is `{said.finish_reason}`")
    return Seen("honoured")


@_probe("max_tokens", "`max_tokens: 5`", "marked and logged")
async def max_tokens(asker: Asker) -> Seen:
    return await _shorten(asker, max_tokens=5)


@_probe("max_completion_tokens", "`max_completion_tokens: 5`, by `extra`", "marked and logged")
async def max_completion_tokens(asker: Asker) -> Seen:
    return await _shorten(asker, extra={"max_completion_tokens": 5})


@_probe("stop", "a word that the answer has in its midst", "marked and logged")
async def stop(asker: Asker) -> Seen:
    whole = await asker.ask_text()
    word = next((whole[n : n + 2] for n in range(3, len(whole) - 4) if whole.find(whole[n : n + 2]) == n), "")
    if not word:
        return Seen("untold", "its answer repeats itself")
    before = whole.partition(word)[0]
    said = await asker.ask_text({"stop": [word]})
    if said == before:
        return Seen("honoured")
    if said == whole:
        return Seen("ignored")
    if said.startswith(before + word):
        return Seen("partly", "stops, and keeps the word in the text")
    return Seen("untold", "another answer")


async def _vary(asker: Asker, **sampling: Any) -> set[str]:
    """The different texts of several calls: of so many that they are not all equal by chance."""
    return {await asker.ask_text(sampling) for _ in range(_CALLS)}


@_probe("temperature", f"`0` eight times, then `{_HOT}` eight times", _UNSEEN)
async def temperature(asker: Asker) -> Seen:
    cold, hot = await _vary(asker, temperature=0.0), await _vary(asker, temperature=_HOT)
    if len(cold) == 1 and len(hot) > 1:
        return Seen("honoured")
    return Seen("untold") if len(cold) == len(hot) == 1 else Seen("ignored", "answers differ at 0")


@_probe("seed", f"`7` eight times at temperature {_HOT}, then eight others", _UNSEEN)
async def seed(asker: Asker) -> Seen:
    same = await _vary(asker, temperature=_HOT, seed=7)
    if len(same) > 1:
        return Seen("ignored", "equal seeds, other answers")
    return Seen("honoured" if len(same | set(await _ask_seeds(asker))) > 1 else "untold")


@_probe("seed, at a time", "the eight others again, all at once", _UNSEEN, steady=False)
async def seeds_at_once(asker: Asker) -> Seen:
    alone = await _ask_seeds(asker)
    if len(set(alone)) == 1:
        return Seen("untold")
    together = await _ask_seeds(asker, at_once=True)
    equal = sum(one == other for one, other in zip(alone, together, strict=True))
    # rounding, which differs with what else is computed, may turn one word in thousands
    return Seen("honoured") if equal >= 6 else Seen("ignored", f"{equal} of 8 answers are the same")  # noqa: PLR2004


async def _ask_seeds(asker: Asker, *, at_once: bool = False) -> list[str]:
    """The answers to eight seeds."""
    asked = [{"temperature": _HOT, "seed": 100 + n} for n in range(_CALLS)]
    if at_once:
        return list(await asyncio.gather(*(asker.ask_text(one) for one in asked)))
    return [await asker.ask_text(one) for one in asked]


async def _narrow(asker: Asker, **narrow: Any) -> Seen:
    """Whether ``narrow`` leaves the most likely answer alone at a high temperature."""
    if len(await _vary(asker, temperature=_HOT)) == 1:
        return Seen("untold")
    return Seen("honoured" if len(await _vary(asker, temperature=_HOT, **narrow)) == 1 else "ignored")


@_probe("top_p", f"`0.0001` at temperature {_HOT}", _UNSEEN)
async def top_p(asker: Asker) -> Seen:
    return await _narrow(asker, top_p=0.0001)


@_probe("top_k", f"`1` at temperature {_HOT}", _UNSEEN)
async def top_k(asker: Asker) -> Seen:
    return await _narrow(asker, top_k=1)


@_probe("min_p", f"`1` at temperature {_HOT}", _UNSEEN)
async def min_p(asker: Asker) -> Seen:
    return await _narrow(asker, min_p=1.0)


async def _penalise(asker: Asker, **penalty: float) -> Seen:
    """Whether a penalty makes another answer of the most likely one."""
    before, after = await asker.ask_text(), await asker.ask_text(penalty)
    return Seen("ignored" if before == after else "honoured")


@_probe("frequency_penalty", "`2` at temperature 0", _UNSEEN)
async def frequency_penalty(asker: Asker) -> Seen:
    return await _penalise(asker, frequency_penalty=2.0)


@_probe("presence_penalty", "`2` at temperature 0", _UNSEEN)
async def presence_penalty(asker: Asker) -> Seen:
    return await _penalise(asker, presence_penalty=2.0)


@_probe("logprobs", "`logprobs: true, top_logprobs: 2`, by `extra`", "marked and logged")
async def logprobs(asker: Asker) -> Seen:
    said = await asker.ask({"extra": {"logprobs": True, "top_logprobs": 2}})
    if isinstance(said, BackendError):
        return _refuse(said)
    found = (said.extra or {}).get("logprobs")
    content = found.get("content") if isinstance(found, dict) else None
    return Seen("honoured" if content else "ignored")


@_probe("n", "`n: 3`, which the backend itself never sends", "never sent: each sample is a request of its own")
async def several(asker: Asker) -> Seen:
    said = await asker.ask({"temperature": _HOT}, add={"n": 3})
    if isinstance(said, BackendError):
        return _refuse(said)
    count = (said.extra or {}).get("choices", 1)
    return Seen("honoured") if count == 3 else Seen("ignored", f"{count} came")  # noqa: PLR2004


@_probe("JSON Schema", "a task's schema as `response_format`, strict", "marked and logged; set `json_schema: false`")
async def json_schema(asker: Asker) -> Seen:
    said = await asker.ask({"max_tokens": 100}, schema=_SCHEMA)
    if isinstance(said, BackendError):
        return _refuse(said)
    try:
        value = json.loads(said.text or "")
    except ValueError:
        return Seen("ignored")
    held = isinstance(value, dict) and value.get("verdict") in ("good", "bad") and type(value.get("sure")) is bool
    return Seen("honoured" if held and len(value) == 2 else "ignored")  # noqa: PLR2004


@_probe("wrong model", "a model that it does not have", "the name it gives is kept with each answer")
async def wrong_model(asker: Asker) -> Seen:
    said = await asker.ask(model="no-such-model")
    if isinstance(said, BackendError):
        return _refuse(said)
    named = "the name that was asked" if said.model == "no-such-model" else "its own name"
    return Seen("answered", f"under {named}")


@_probe("too long a prompt", "3,000 words to a model that takes some hundred tokens")
async def long_prompt(asker: Asker) -> Seen:
    said = await asker.ask(text="word " * 3000)
    return _refuse(said) if isinstance(said, BackendError) else Seen("answered")


@_probe("wrong value", "`temperature: hot`, behind the backend's back")
async def wrong_value(asker: Asker) -> Seen:
    said = await asker.ask(add={"temperature": "hot"})
    return _refuse(said) if isinstance(said, BackendError) else Seen("answered")


@_probe("unknown field", "`no_such_field: 1`, by `extra`")
async def unknown_field(asker: Asker) -> Seen:
    said = await asker.ask({"extra": {"no_such_field": 1}})
    return _refuse(said) if isinstance(said, BackendError) else Seen("answered")


@_probe("32 at a time", "32 calls at once")
async def at_once(asker: Asker) -> Seen:
    said = await asyncio.gather(*(asker.ask() for _ in range(32)))
    failed = [one for one in said if isinstance(one, BackendError)]
    return Seen("partly", f"{len(failed)} of 32 fail") if failed else Seen("honoured")
