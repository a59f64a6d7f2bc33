"""Whether a server has heeded what was sent with a request, as far as one answer shows it.

Many servers take a parameter and do not act on it, with status 200: the answer is the only sign. A seed, a temperature
or a penalty leaves none in one answer. What is ignored is marked and logged, and the text is kept as it came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pool_core.http.backend import HttpBackend, note_schema
from pool_core.interfaces.values import Answer, Request
from pool_openai.config import OpenAIConfig

__all__ = ["find_ignored", "note_ignored"]

_LIMITS = ("max_tokens", "max_completion_tokens")


def note_ignored(backend: HttpBackend[Any], answer: Answer, request: Request) -> Answer:
    """``answer``, with ``ignored`` in its ``extra``: the parameters that its server has not heeded, by name.

    A schema has a mark of its own, see `note_schema`. Each kind is logged once.
    """
    config: OpenAIConfig = backend.config
    if config.constrains:
        answer = note_schema(backend, answer, request.prompt.schema)
    asked = {**config.extra, **request.sampling, **(request.sampling.get("extra") or {})}
    ignored = find_ignored(answer, asked) if asked else {}
    for name, sign in ignored.items():
        backend.warn_once(f"ignored {name}", "%s was sent with the request, and %s", name, sign)
    return replace(answer, extra={**(answer.extra or {}), "ignored": list(ignored)}) if ignored else answer


def find_ignored(answer: Answer, asked: Mapping[str, Any]) -> dict[str, str]:
    """The parameters of ``asked`` that were not heeded, each with the sign of it in words."""
    found: dict[str, str] = {}
    text, stop = answer.text or "", asked.get("stop")
    words = [stop] if isinstance(stop, str) else stop if isinstance(stop, Sequence) else ()
    if any(isinstance(word, str) and word and word in text for word in words):
        found["stop"] = "the answer has a stop string in its text, which the server has kept or ignored"
    used = answer.usage.output_tokens if answer.usage else None
    for name in _LIMITS:
        most = asked.get(name)
        if isinstance(most, int) and used is not None and used > most + 1:  # some count the token that ends it
            found[name] = f"the answer has {used} tokens by the server's own count, more than {most}"
    if asked.get("logprobs") and text and "logprobs" not in (answer.extra or {}):
        found["logprobs"] = "the answer has none; some servers want top_logprobs as well"
    return found
