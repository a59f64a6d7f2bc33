"""The checks of how a task reads answers."""

from __future__ import annotations

import copy
import os
import pickle
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError as SchemaMismatchError

from pool_core.errors import ParseError
from pool_core.interfaces.task import Task
from pool_core.interfaces.values import Answer, Prompt
from pool_core.testing.conformance import hostile
from pool_core.testing.conformance.base import clip
from pool_core.testing.conformance.declared import TaskExample
from pool_core.testing.conformance.effects import watch_effects
from pool_core.testing.conformance.task_suite import TaskSuite

__all__ = ["AnswerChecks"]

#: More is kept beside every failed cell, and nobody reads it.
_LONGEST_MESSAGE = 2_000


class AnswerChecks(TaskSuite):
    """Answers, whatever they hold."""

    def test_parse_reads_the_examples(self) -> None:
        """Each example's answer gives its output, and a `ParseError` where it has none."""
        for example, task in self._cases():
            answer = example.make_answer()
            output = self._parse(task, answer, example.row)
            values = self._dump(task, output)
            if values != (None if example.output is None else dict(example.output)):
                said = output if isinstance(output, ParseError) else values
                self.fail(f"{clip(answer.text)} gave {clip(said)}, not {clip(example.output)}", "correct one of them")

    def test_outputs_satisfy_their_schema(self) -> None:
        """Outputs satisfy the JSON Schema of `output` and the types that policies compare."""
        for example, task in self._cases():
            values = self._dump(task, self._parse(task, example.make_answer(), example.row))
            if values is None:
                continue
            schema = task.output.model_json_schema(by_alias=False, mode="serialization")
            try:
                Draft202012Validator(schema).validate(values)
            except SchemaMismatchError as error:
                self.fail(f"{clip(values)} is not what the schema says: {error.message}", "let the model validate")

    def test_parse_is_deterministic(self) -> None:
        """The same answer is read alike: again, after other answers, and by another task of the configuration."""
        cases = list(self._cases())
        first = [self._read(task, example) for example, task in cases]
        for (example, task), values in reversed(list(zip(cases, first, strict=True))):
            for other in (task, self.make_task(example.config)):
                if (again := self._read(other, example)) != values:
                    self.fail(f"{clip(example.answer)} gave {clip(values)}, then {clip(again)}", "keep no state")

    def _read(self, task: Task[Any], example: TaskExample) -> Any:
        output = self._parse(task, example.make_answer(), example.row)
        return str(output) if isinstance(output, ParseError) else self._dump(task, output)

    def test_parse_leaves_its_arguments_alone(self) -> None:
        """`parse` changes nothing of the answer and the row."""
        for example, task in self._cases():
            row, answer = copy.deepcopy(dict(example.row)), copy.deepcopy(example.make_answer())
            self._parse(task, answer, row)
            if row != dict(example.row) or answer != example.make_answer():
                self.fail("parse changed the row or the answer", "change copies")

    def test_parse_has_no_effects(self) -> None:
        """`parse` opens no file, contacts nothing, and runs nothing of an answer."""
        for example, task in self._cases():
            self._parse(task, example.make_answer(), example.row)
            for text in (None, *hostile.ADVERSARIAL):
                answer = example.make_answer() if text is None else Answer(text, "stop")
                with watch_effects() as effects:
                    self._parse(task, answer, example.row)
                ran = os.environ.pop(hostile.TRIPWIRE, None)
                if effects or ran:
                    did = effects[0] if effects else "ran it"
                    self.fail(f"parse of {clip(answer.text)} {did}", "read answers, and never run them")

    def test_parse_takes_empty_answers(self) -> None:
        """Answers without a text, with white space alone or with a call of a tool: an output or a `ParseError`."""
        self._try_answers(hostile.list_without_text())

    def test_parse_takes_refusals(self) -> None:
        """Answers in which the model declines: an output or a `ParseError`."""
        self._try_answers(hostile.list_refusals())

    def test_parse_takes_truncated_answers(self) -> None:
        """Every beginning of the examples' answers: an output or a `ParseError`."""
        for example, task in self._cases():
            text = example.make_answer().text or ""
            for end in range(min(len(text), 400)):
                self._dump(task, self._parse(task, Answer(text[:end], "length"), example.row))

    def test_parse_takes_huge_answers(self) -> None:
        """Answers of 300,000 characters, one thing over and over, are read in time."""
        texts = [example.make_answer().text or "" for example in self.examples]
        self._try_answers(Answer(text, "stop") for text in hostile.list_huge(texts))

    def test_parse_takes_what_is_no_utf8(self) -> None:
        """Answers with half surrogate pairs, NUL and other letters that UTF-8 or people cannot hold."""
        texts = [example.make_answer().text or "" for example in self.examples]
        odd = ("\ud800", "\udfff\ud800", "a\udc80b", "\0", "\ufffe\uffff", "\U0010ffff")
        self._try_answers(Answer(one, "stop") for text in texts for part in odd for one in (part, part + text + part))

    def test_parse_takes_adversarial_answers(self) -> None:
        """Answers that are made to break parsers: deep, unclosed, doubled, and code."""
        self._try_answers(Answer(text, "stop") for text in hostile.ADVERSARIAL)

    def test_parse_takes_any_text(self) -> None:
        """Any text at all, and any text within the examples' answers (hypothesis): an output or a `ParseError`."""
        for example, task in self._cases():
            self._parse_anything(example, task)

    def _parse_anything(self, example: TaskExample, task: Task[Any]) -> None:
        text = example.make_answer().text or ""

        @hostile.QUIET
        @given(hostile.ANY_TEXT, st.integers(0, len(text)), st.integers(0, len(text)))
        def try_any(drawn: str, start: int, end: int) -> None:
            for one in (drawn, text[:start] + drawn + text[end:]):
                self._dump(task, self._parse(task, Answer(one, "stop"), example.row))

        try_any()

    def test_unreadable_answers_are_told(self) -> None:
        """A `ParseError` says what is wrong in a line or few; where none is declared, every text can be read."""
        errors = []
        for example, task in self._cases():
            for text in [example.make_answer().text or "", *hostile.ADVERSARIAL]:
                output = self._parse(task, Answer(text, "stop"), example.row)
                if isinstance(output, ParseError):
                    errors.append(output)
                    if not output.message.strip() or len(str(output)) > _LONGEST_MESSAGE:
                        self.fail(f"a ParseError says {clip(str(output))}", "say what is wrong; quote little")
        if bool(errors) != self.supports.unreadable:
            self.fail(
                f"unreadable={self.supports.unreadable} is declared, and {len(errors)} answers could not be read",
                "declare what is so, or give an example of it",
            )

    def test_truncated_answers_are_as_declared(self) -> None:
        """With `truncated` declared, some example is cut off and read, and its task says that it accepts them."""
        found = False
        for example, task in self._cases():
            cut = example.make_answer().finish_reason == "length"
            if task.accepts_truncated and not self.supports.truncated:
                self.fail("accepts_truncated is True", "declare truncated=True")
            found |= cut and task.accepts_truncated and example.output is not None
        if self.supports.truncated and not found:
            self.fail(
                "truncated=True is declared, and no example shows it",
                'give one whose answer is Answer("...", "length"), with the configuration that accepts it',
            )

    def test_it_works_in_another_process(self) -> None:
        """A task can be pickled, and gives the same prompts and outputs in a worker; so do its outputs and errors."""
        for example, task in self._cases():
            here = (self._render(task, example.row), self._read(task, example))
            there = self.call_elsewhere("the task", _work, task, example)
            if here != there:
                self.fail(f"it gave {clip(here)}, and in another process {clip(there)}", "no clock, random or sets")
            output = self._parse(task, example.make_answer(), example.row)
            with self.explaining("its output or error cannot be pickled", "keep plain values in it"):
                again = pickle.loads(pickle.dumps(output))  # noqa: S301 - our own bytes
            if str(again) != str(output):
                self.fail(f"{clip(output)} became {clip(again)}", "keep plain values in it")


def _work(task: Task[Any], example: TaskExample) -> tuple[Prompt, Any]:
    answer = replace(example.make_answer())
    prompt = task.render(example.row)
    try:
        return prompt, task.parse(answer, example.row).model_dump(mode="json", by_alias=False)
    except ParseError as error:
        return prompt, str(error)
