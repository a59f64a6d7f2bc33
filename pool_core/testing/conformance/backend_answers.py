"""The checks of a backend's answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from pool_core.interfaces.backend import Backend
from pool_core.interfaces.values import Answer, Prompt
from pool_core.testing.conformance.backend_suite import NOWHERE, BackendSuite
from pool_core.testing.conformance.base import clip
from pool_core.testing.replies import ReceivedRequest, Reply, make_chat_body

__all__ = ["AnswerChecks"]

_SEED, _STOP = 424_242, "STOP-HERE"


#: Names of faults, and whether an answer tells of them.
_ENDS: dict[str, Callable[[Answer], bool]] = {
    "length": lambda answer: answer.finish_reason == "length",
    "content-filter": lambda answer: answer.finish_reason == "content_filter",
    "refusal": lambda answer: bool(answer.refusal) or answer.finish_reason == "content_filter",
}
_CURES = {
    "length": 'finish_reason="length"',
    "content-filter": 'finish_reason="content_filter"',
    "refusal": "the text of the refusal as `refusal`",
}


class AnswerChecks(BackendSuite):
    """Single calls that are answered."""

    def test_it_answers(self) -> None:
        """A plain request has an answer with a text, and nothing is printed."""
        text = "Blue, naturally."
        with self._serving(self._answer_all(text)) as server, self.listening("a call"):
            answer = self._converse(server.url, lambda backend: self._get(backend, self._request(backend)))
        if not isinstance(answer.text, str) or (self.supports.http and answer.text != text):
            self.fail(f"the answer's text is {clip(answer.text)}", "return what was answered, unchanged")

    def test_what_is_sent_is_what_was_encoded(self) -> None:
        """The server gets the bytes of `encode`, once."""
        self._need_http()

        async def talk(backend: Backend[Any]) -> bytes:
            request = self._request(backend, sampling={"temperature": 0.25})
            await self._get(backend, request)
            return request.body

        with self._serving() as server:
            body = self._converse(server.url, talk)
            sent = [one.raw for one in server.requests if one.method == "POST"]
        if sent != [body]:
            self.fail(f"encoded was {clip(body)}, the server got {clip(sent)}", "send `request.body` as it is, once")

    def test_hostile_answers_are_kept_as_they_are(self) -> None:
        """Text comes back letter by letter: half surrogates, NUL, line separators, markup, ends of lines."""
        self._need_http()
        for text in ("a\ud800b\0c\u2028d\u202ee", " \r\n\t x \n", "<script>&amp;</script>", "\ufeff{}", "e\u0301"):
            with self._serving(self._answer_all(text)) as server:
                answer = self._converse(server.url, lambda backend: self._get(backend, self._request(backend)))
            if answer.text != text:
                self.fail(f"the server said {clip(text)}, the answer is {clip(answer.text)}", "strip and mend nothing")

    def test_usage_is_reported(self) -> None:
        """The tokens that the server counts are in the answer; where none are declared, none are."""
        with self._serving() as server:
            answer = self._converse(server.url, lambda backend: self._get(backend, self._request(backend)))
        counts = self.read_usage(answer)
        if self.supports.usage and not all(isinstance(count, int) and count >= 0 for count in counts):
            self.fail(f"the usage is {answer.usage!r}", "return Usage(input_tokens, output_tokens) of the reply")
        if not self.supports.usage and counts != (None, None):
            self.fail(f"the usage is {answer.usage!r}, and usage=False is declared", "declare usage=True")
        if self.supports.usage and self.supports.http and type(self).make_reply is BackendSuite.make_reply:
            self._check_counts(counts)

    def _check_counts(self, counts: tuple[int | None, int | None]) -> None:
        """Of the server's own reply what it counts is known, and what it does not count as well."""
        given = make_chat_body("A plain answer.")["usage"]
        if counts != (given["prompt_tokens"], given["completion_tokens"]):
            self.fail(f"the server counts {given}, the usage is {counts}", "report what the server counts")

        def omit(request: ReceivedRequest) -> Reply:
            body = self.make_reply(request, "A plain answer.").body
            assert isinstance(body, Mapping)
            return Reply(body={name: value for name, value in body.items() if name != "usage"})

        with self._serving(omit) as server:
            answer = self._converse(server.url, lambda backend: self._get(backend, self._request(backend)))
        if self.read_usage(answer) != (None, None):
            self.fail(f"the server counts nothing, the usage is {answer.usage!r}", "report None, never a guess")

    def test_answers_say_how_they_ended(self) -> None:
        """That an answer was cut, withheld or declined is in it: else it passes for a whole one."""
        self._need_http()
        for name, is_told in _ENDS.items():
            fault = self.faults.get(name)
            if fault is None or name in self.inapplicable or (name == "refusal" and self._capabilities.takes == "text"):
                continue
            with self._serving([fault]) as server:
                answer = self._converse(server.url, lambda backend: self._get(backend, self._request(backend)))
            if not is_told(answer):
                self.fail(f"{fault.what}: the answer is {clip(answer)}", f"give {_CURES[name]} to the Answer")

    def test_a_seed_is_honoured(self) -> None:
        """A seed is sent; in the process, equal seeds give equal answers."""
        if not self.supports.seed:
            self.skip("declared as one that honours no seed")
        self._check_sampling("seed", _SEED)

    def test_stop_strings_are_honoured(self) -> None:
        """Stop strings are sent; in the process, the answer ends before one."""
        if not self.supports.stop:
            self.skip("declared as one that honours no stop strings")
        if self.supports.http:
            self._check_sampling("stop", [_STOP])
            return

        async def talk(backend: Backend[Any]) -> tuple[str, str, str]:
            text = str((await self._get(backend, self._request(backend))).text)
            words = text.split()
            word = words[len(words) // 2] if words else ""
            if len(words) < 2:  # noqa: PLR2004
                self.fail(f"the first prompt is answered with {clip(text)}", "give a first prompt with longer answers")
            again = await self._get(backend, self._request(backend, sampling={"stop": [word]}))
            return text, word, str(again.text)

        text, word, stopped = self._converse(NOWHERE, talk)
        if word in stopped:
            self.fail(f"{clip(text)} became {clip(stopped)} with the stop string {word!r}", "end the text before it")

    def test_a_schema_is_honoured(self) -> None:
        """A prompt's JSON Schema is sent; in the process, the answer satisfies it."""
        if not self.supports.schema:
            self.skip("declared as one that constrains no answer")
        first = self._list_prompts()[0]
        prompt = Prompt(first.messages, first.text, self.schema)
        if self.supports.http:
            body = self.make_backend().encode(prompt, self.sampling)
            if b"colour" not in body:
                self.fail(f"the schema is not in {clip(body)}", "send `prompt.schema`, or declare schema=False")
            return
        answer = self._converse(NOWHERE, lambda backend: self._get(backend, self._request(backend, prompt)))
        try:
            value = json.loads(answer.text or "")
        except ValueError:
            value = None
        if not isinstance(value, dict) or set(value) != {"colour"} or not isinstance(value["colour"], str):
            self.fail(
                f"the answer to a prompt with a schema is {clip(answer.text)}", "constrain it, or say schema=False"
            )

    def _check_sampling(self, name: str, value: Any) -> None:
        if self.supports.http:
            body = self.make_backend().encode(self._list_prompts()[0], {**self.sampling, name: value})
            if json.dumps(value).strip('[]"').encode() not in body:
                self.fail(f"{name}={value!r} is not in {clip(body)}", f"send it, or declare {name}=False")
            return

        async def talk(backend: Backend[Any]) -> str | None:
            return (await self._get(backend, self._request(backend, sampling={name: value}))).text

        texts = [self._converse(NOWHERE, talk) for _ in range(2)]
        if texts[0] != texts[1]:
            self.fail(f"two calls with {name}={value!r} gave {clip(texts[0])} and {clip(texts[1])}", "make them equal")
