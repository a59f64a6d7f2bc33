"""The checks of a prompt format: pure, total, and nothing that is said is lost."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from hypothesis import given
from hypothesis import strategies as st

from pool_core.errors import TemplateError
from pool_core.interfaces.prompt_format import PromptFormat
from pool_core.interfaces.values import Message
from pool_core.testing.conformance import hostile
from pool_core.testing.conformance.base import PluginConformance, clip
from pool_core.testing.conformance.declared import FormatExample
from pool_core.testing.conformance.effects import watch_effects

__all__ = ["PromptFormatConformance"]

Messages = Sequence[Message]

#: More stands beside every cell that fails of it, and nobody reads it.
_LONGEST_MESSAGE = 2_000
#: Turns of a long chat.
_MANY = 2_000
_ROLES = ("system", "developer", "user", "assistant", "tool", "function", "User", "narrator", "")


class PromptFormatConformance(PluginConformance):
    """A prompt format that is what `PromptFormat` promises.

    ::

        class TestChatML(PromptFormatConformance):
            use = "standard/chatml"
            supports = Supports(stop=True)
            examples = [
                FormatExample([("user", "Hi.")], "<|im_start|>user\\nHi.<|im_end|>\\n<|im_start|>assistant\\n"),
                FormatExample([("narrator", "Hi.")], None),
            ]
    """

    kind = "prompt_format"
    asked = ("stop",)

    #: Chats, and how each is written. One at least can be written.
    examples: ClassVar[Sequence[FormatExample]] = ()

    def list_configs(self) -> list[Mapping[str, Any]]:
        return [self.config, *(example.config for example in self.examples if example.config)]

    def make_format(self, config: Mapping[str, Any] | None = None) -> PromptFormat[Any]:
        """The prompt format as a recipe makes it."""
        with self.explaining("it cannot be made", "accept every configuration that its model accepts"):
            return self.resolver.resolve_prompt_format(self.make_use(config), ())

    # What the checks work with.

    def _cases(self) -> Iterator[tuple[FormatExample, PromptFormat[Any]]]:
        """Each example with a prompt format of its configuration. None is a failure."""
        if not any(example.text is not None for example in self.examples):
            self.fail("nobody has looked: there is no example that can be written", "give `examples`")
        for example in self.examples:
            yield example, self.make_format(example.config)

    def _format(self, made: PromptFormat[Any], messages: Messages) -> str | TemplateError:
        """The text; anything but a text or a `TemplateError` fails the check."""
        shown = clip([(message.role, message.content) for message in messages[:4]])
        try:
            text = self.call(f"format of {shown}", lambda: made.format(messages), TemplateError)
        except TemplateError as error:
            return error
        if not isinstance(text, str):
            self.fail(f"format of {shown} returned {type(text).__name__}", "return one text")
        return text

    def _read(self, made: PromptFormat[Any], messages: Messages) -> str:
        """The text, or that of the error, to be compared."""
        return str(self._format(made, messages))

    def _written(self) -> Iterator[tuple[tuple[Message, ...], PromptFormat[Any]]]:
        """The chats that can be written."""
        for example, made in self._cases():
            if example.text is not None:
                yield example.make_messages(), made

    # The checks.

    def test_it_writes_the_examples(self) -> None:
        """Each example's messages give its text, and a `TemplateError` where it has none."""
        for example, made in self._cases():
            said = self._format(made, example.make_messages())
            if (None if isinstance(said, TemplateError) else said) != example.text:
                self.fail(
                    f"{clip(example.messages)} gave {clip(said)}, not {clip(example.text)}", "correct one of them"
                )

    def test_stop_strings_are_as_declared(self) -> None:
        """`stop` is a tuple of texts, none of them empty; there are some where that is declared."""
        found = False
        for _, made in self._cases():
            stop = self.call("stop", lambda made=made: made.stop)  # type: ignore[misc]
            if not isinstance(stop, tuple) or not all(isinstance(one, str) and one for one in stop):
                self.fail(f"stop is {stop!r}", "return a tuple of texts that end the model's turn")
            found |= bool(stop)
        if found != self.supports.stop:
            self.fail(f"stop={self.supports.stop} is declared, and there are {'some' if found else 'none'}", "say so")

    def test_it_is_deterministic(self) -> None:
        """The same messages give the same text: again, after others, and from another one of the configuration."""
        cases = list(self._cases())
        first = [self._read(made, example.make_messages()) for example, made in cases]
        for (example, made), text in reversed(list(zip(cases, first, strict=True))):
            for other in (made, self.make_format(example.config)):
                if (again := self._read(other, example.make_messages())) != text:
                    self.fail(f"the text {clip(text)} is {clip(again)} the next time", "no clock, random or state")

    def test_messages_are_left_alone(self) -> None:
        """`format` changes nothing of the messages, and takes a list of them and a tuple alike."""
        for example, made in self._cases():
            for messages in (list(example.make_messages()), example.make_messages()):
                before = copy.deepcopy(messages)
                self._format(made, messages)
                if messages != before:
                    self.fail(f"the messages {clip(before)} became {clip(messages)}", "change a copy")

    def test_it_has_no_effects(self) -> None:
        """`format` opens no file, contacts nothing and starts nothing."""
        for example, made in self._cases():
            messages = example.make_messages()
            self._format(made, messages)  # what is imported on first use is then there
            with watch_effects() as effects:
                self._format(made, messages)
            if effects:
                self.fail(f"format {effects[0]}", "read files when it is made, and nothing else at all")

    def test_every_message_is_written(self) -> None:
        """The content of each message is in the text, in the order in which they were said."""
        for messages, made in self._written():
            marked = tuple(Message(one.role, f"word-{number:02}-of-it") for number, one in enumerate(messages))
            text, place = self._read(made, marked), 0
            for message in marked:
                found = text.find(str(message.content), place)
                if found < 0:
                    self.fail(
                        f"the content of the {message.role}'s message is not in its place: {clip(text)}",
                        "write every message, or raise TemplateError",
                    )
                place = found

    def test_contents_are_kept_as_they_are(self) -> None:
        """A content is written letter by letter, but for blanks around it; a template in it is text."""
        for messages, made in self._written():
            for content in (*hostile.HOSTILE_TEXTS, "{{ 43 * 43 }}"):
                text = self._read(made, (*messages[:-1], Message(messages[-1].role, content)))
                if content.strip() not in text:
                    self.fail(f"{clip(content)} is not in {clip(text)}", "insert contents as they are, once")

    def test_the_answer_comes_next(self) -> None:
        """The text does not end with a stop string: the model's turn would be over before it begins."""
        for messages, made in self._written():
            text = self._read(made, messages)
            over = next((stop for stop in made.stop if text.rstrip().endswith(stop.strip() or stop)), None)
            if over is not None and messages[-1].role != "assistant":
                self.fail(f"the text ends with the stop string {over!r}", "end it where the answer starts")

    def test_it_takes_any_messages(self) -> None:
        """Whatever the roles and contents are (hypothesis: none, parts, odd roles), a text or a `TemplateError`."""
        part = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
        contents: st.SearchStrategy[Any] = (
            hostile.ANY_TEXT | st.sampled_from(hostile.HOSTILE_TEXTS[:-1]) | st.just([part]) | st.just([])
        )
        chats = st.lists(st.builds(Message, st.sampled_from(_ROLES), contents), max_size=5)
        for _, made in self._cases():
            self._format(made, ())
            self._try_chats(made, chats)

    def _try_chats(self, made: PromptFormat[Any], chats: st.SearchStrategy[list[Message]]) -> None:
        @hostile.QUIET
        @given(chats)
        def try_chat(messages: list[Message]) -> None:
            self._check_told(self._format(made, messages))

        try_chat()

    def _check_told(self, said: str | TemplateError) -> None:
        if isinstance(said, TemplateError) and not (said.message.strip() and len(str(said)) <= _LONGEST_MESSAGE):
            self.fail(f"a TemplateError says {clip(str(said))}", "say what cannot be written; quote little")

    def test_refusals_are_told(self) -> None:
        """A `TemplateError` says in a line or few what cannot be written."""
        for example, made in self._cases():
            for role in ("x" * 100_000, *_ROLES):
                self._check_told(self._format(made, (*example.make_messages()[:-1], Message(role, "Hi."))))

    def test_it_ends_for_long_chats(self) -> None:
        """A chat of 2,000 turns, and a content of 300,000 characters, are written in time."""
        for messages, made in self._written():
            self._format(made, tuple(messages) * (_MANY // len(messages)))
            self._format(made, (*messages[:-1], Message(messages[-1].role, "a {{ " * 60_000)))

    def test_it_works_in_another_process(self) -> None:
        """A prompt format can be pickled, and writes the same in another process."""
        for example, made in self._cases():
            here = self._read(made, example.make_messages())
            there = self.call_elsewhere("the prompt format", _format_there, made, example.make_messages())
            if here != there:
                self.fail(f"it gave {clip(here)}, and in another process {clip(there)}", "no clock, random or sets")


def _format_there(made: PromptFormat[Any], messages: Messages) -> str:
    try:
        return made.format(messages)
    except TemplateError as error:
        return str(error)
