"""How many tokens a text probably has, without the tokenizer of the model that reads it.

Every model has a tokenizer of its own, and most cannot be had offline. What is known is how many
characters a token has: `docs/how-to/budget.md` has the measurements behind the figures here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

from pool_core.interfaces.encoding import encode_json
from pool_core.interfaces.values import Prompt, Usage

__all__ = ["DEFAULT_OUTPUT", "Forecast", "TokenRange", "count_tokens", "estimate_tokens", "find_max_tokens"]

#: Tokens per character of ASCII and per other character: in the language that a tokenizer knows best and worst.
_ASCII = (1 / 5.5, 1 / 2.5)
_OTHER = (1 / 4, 1.25)
#: Tokens that chat templates put around a message.
_MESSAGE = (3, 8)
#: Bytes of a request's body per token, as a rule.
_BYTES_PER_TOKEN = 4
#: Tokens that an answer is thought to have where nothing bounds it and none was seen yet.
DEFAULT_OUTPUT = 1024
#: Answers of a member after which its own figures count for more than the rule.
_LEAST_ANSWERS = 8


class TokenRange(NamedTuple):
    """A number of tokens, as far as it is known."""

    low: float
    #: None: not known.
    high: float | None


def count_tokens(prompt: Prompt) -> TokenRange:
    """The tokens of a prompt: fewer than ``low`` or more than ``high`` are rare for text and code.

    Long runs of digits, hashes and base64 have more: up to a token per character. What parts that
    are no text have, such as images, is not known.
    """
    low = high = 0.0
    texts, whole = _list_texts(prompt)
    for text in texts:
        plain = len(text) if text.isascii() else len(text.encode("ascii", "ignore"))
        other = len(text) - plain
        low += plain * _ASCII[0] + other * _OTHER[0]
        high += plain * _ASCII[1] + other * _OTHER[1]
    low += len(prompt.messages) * _MESSAGE[0]
    high += len(prompt.messages) * _MESSAGE[1]
    if prompt.schema is not None:  # some servers show it to the model, others only guide the sampling
        high += len(encode_json(prompt.schema)) * _ASCII[1]
    return TokenRange(low, high if whole else None)


def _list_texts(prompt: Prompt) -> tuple[list[str], bool]:
    """The texts of a prompt, and whether they are all of it."""
    if prompt.text is not None:
        return [prompt.text], True
    texts: list[str] = []
    whole = True
    for message in prompt.messages:
        if isinstance(message.content, str):
            texts.append(message.content)
            continue
        for part in message.content:
            text = part.get("text")
            if isinstance(text, str):
                texts.append(text)
            else:
                whole = False
    return texts, whole


def find_max_tokens(sampling: Mapping[str, Any]) -> int | None:
    """Most tokens of an answer that the sampling parameters allow, None where they do not say."""
    for name in ("max_tokens", "max_completion_tokens"):
        value = sampling.get(name)
        if isinstance(value, int) and value > 0:
            return value
    return None


def estimate_tokens(body: bytes, max_tokens: int | None) -> int:
    """What a call needs, as a rule: the tokens of its body and of the longest answer. Looks at the length alone."""
    return len(body) // _BYTES_PER_TOKEN + 1 + (max_tokens or DEFAULT_OUTPUT)


@dataclass(slots=True)
class Forecast:
    """What a call of a member will use, as those before it did; at first as `estimate_tokens` says.

    Of the answers' lengths the mean weighted by length counts, E[X^2] / E[X]: long answers are in
    flight for longer, so those that are in flight are longer than all answers on average (the
    inspection paradox; Feller, "An Introduction to Probability Theory and Its Applications", vol. 2, I.4).
    """

    max_tokens: int | None
    _answers: int = 0
    _bytes: int = 0
    _input: int = 0
    _output: int = 0
    _squares: int = 0

    def guess(self, body: bytes) -> Usage:
        """The tokens of a call with this body."""
        if self._answers < _LEAST_ANSWERS:
            output = self.max_tokens or DEFAULT_OUTPUT
            return Usage(estimate_tokens(body, self.max_tokens) - output, output)
        output = ceil(self._squares / self._output) if self._output else 0
        return Usage(ceil(len(body) * self._input / self._bytes), output)

    def learn(self, body: bytes, usage: Usage) -> None:
        """Note what a call has used; nothing where the server did not say."""
        if usage.input_tokens is None or usage.output_tokens is None or not body:
            return
        self._answers += 1
        self._bytes += len(body)
        self._input += usage.input_tokens
        self._output += usage.output_tokens
        self._squares += usage.output_tokens**2
