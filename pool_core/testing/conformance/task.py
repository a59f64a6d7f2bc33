"""The checks of a task: prompts that are pure, and a parser that is total."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from jsonschema.exceptions import ValidationError as SchemaMismatchError
from pydantic import BaseModel

from pool_core.errors import ParseError, TemplateError
from pool_core.interfaces.encoding import encode_json
from pool_core.interfaces.frozen import freeze
from pool_core.interfaces.model_types import read_model
from pool_core.interfaces.paths import InputPath
from pool_core.interfaces.task import Task
from pool_core.interfaces.types import FieldType, accepts, infer_type
from pool_core.interfaces.values import Answer, Prompt, Row
from pool_core.testing.conformance import hostile
from pool_core.testing.conformance.base import PluginConformance, clip
from pool_core.testing.conformance.declared import TaskExample
from pool_core.testing.conformance.effects import watch_effects
from pool_core.testing.conformance.fitting import fits

__all__ = ["TaskConformance"]

#: More is kept beside every failed cell, and nobody reads it.
_LONGEST_MESSAGE = 2_000


class TaskConformance(PluginConformance):
    """A task that is what `Task` promises.

    ::

        class TestSentiment(TaskConformance):
            use = "sentiment/sentiment"
            supports = Supports(unreadable=True, truncated=False, schema=False)
            examples = [
                TaskExample({"text": "Fine."}, "Positive.", {"label": "positive"}),
                TaskExample({"text": "Fine."}, "Good or bad?", None),
            ]
    """

    kind = "task"
    asked = ("unreadable", "truncated", "schema")

    #: Rows, answers, and what is read in them. One at least can be read.
    examples: ClassVar[Sequence[TaskExample]] = ()

    def list_configs(self) -> list[Mapping[str, Any]]:
        return [self.config, *(example.config for example in self.examples if example.config)]

    def make_task(self, config: Mapping[str, Any] | None = None) -> Task[Any]:
        """The task as a recipe makes it."""
        with self.explaining("it cannot be made", "accept every configuration that its model accepts"):
            return self.resolver.resolve_task(self.make_use(config), ())[0]

    # What the checks work with.

    def _cases(self) -> Iterator[tuple[TaskExample, Task[Any]]]:
        """Each example with a task of its configuration. None is a failure."""
        if not any(example.output is not None for example in self.examples):
            self.fail("nobody has looked: there is no example that can be read", "give `examples`")
        for example in self.examples:
            yield example, self.make_task(example.config)

    def _render(self, task: Task[Any], row: Row) -> Prompt:
        prompt = self.call(f"render of {clip(dict(row))}", lambda: task.render(row))
        if not isinstance(prompt, Prompt):
            self.fail(f"render returned {type(prompt).__name__}", "return a Prompt")
        return prompt

    def _parse(self, task: Task[Any], answer: Answer, row: Row) -> BaseModel | ParseError:
        """What parse makes of an answer; anything but an output or a `ParseError` fails the check."""
        shown = clip(answer.text) if answer.text is not None else clip(answer)
        try:
            output = self.call(f"parse of {shown}", lambda: task.parse(answer, row), ParseError)
        except ParseError as error:
            return error
        if not isinstance(output, task.output):
            self.fail(
                f"parse of {shown} returned {type(output).__name__}, declared is {task.output.__name__}",
                "return an instance of `output`",
            )
        return output

    def _try_answers(self, answers: Iterable[Answer]) -> None:
        tried = list(answers)
        for example, task in self._cases():
            for answer in tried:
                self._dump(task, self._parse(task, answer, example.row))

    def _dump(self, task: Task[Any], output: BaseModel | ParseError) -> Mapping[str, Any] | None:
        """The fields of an output as the pool keeps them: plain JSON of the declared types."""
        if isinstance(output, ParseError):
            return None
        with self.explaining(f"{clip(output)} is no plain JSON", "declare what the fields hold, and validate it"):
            values = output.model_dump(mode="json", by_alias=False, warnings="error")
            encode_json(values)
        declared = read_model(task.output)
        for name, value in values.items():
            if not fits(declared[name], value):
                self.fail(
                    f"the field {name!r} is {clip(value)}, declared is {declared[name]}",
                    "make outputs with the constructor of the model, which validates them",
                )
        return values

    # The declarations.

    def test_inputs_are_columns(self) -> None:
        """`inputs` are names, each once, and every example's row has them."""
        for example, task in self._cases():
            names = task.inputs
            if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
                self.fail(f"inputs is {names!r}", "return a tuple of the columns' names")
            if len(set(names)) != len(names):
                self.fail(f"inputs has a name twice: {names!r}", "name each column once")
            if missing := [name for name in names if name not in example.row]:
                self.fail(f"the row {clip(dict(example.row))} has no {missing[0]!r}", "give the example that column")

    def test_render_needs_no_other_column(self) -> None:
        """A row with the columns of `inputs` and no other gives the same prompt."""
        for example, task in self._cases():
            least = {name: example.row[name] for name in task.inputs if name in example.row}
            try:
                same = self._render(task, least) == self._render(task, example.row)
            except TemplateError as error:
                self.fail(f"with the columns of `inputs` alone, render failed: {error}", "name all that it reads")
            if not same:
                self.fail("with the columns of `inputs` alone, the prompt is another one", "name all that it reads")

    def test_input_declarations_hold(self) -> None:
        """`input_types` and `input_paths` are about columns of `inputs`, and the examples' rows satisfy them."""
        for example, task in self._cases():
            for name, type_ in task.input_types.items():
                if name not in task.inputs or not isinstance(type_, FieldType):
                    self.fail(f"input_types has {name!r}: {type_!r}", "map names of `inputs` to FieldType")
                if name in example.row and not accepts(type_, infer_type(example.row[name])):
                    self.fail(f"{clip(example.row[name])} is no {type_}", "correct input_types or the example")
            for key, paths in task.input_paths.items():
                if not isinstance(key, str) or not all(isinstance(path, InputPath) for path in paths):
                    self.fail(f"input_paths has {key!r}: {paths!r}", "use the `paths` of a Template")

    def test_output_is_declared(self) -> None:
        """`output` is a pydantic model with fields that the pool can compare, the same for equal configurations."""
        for example, task in self._cases():
            model = task.output
            if not (isinstance(model, type) and issubclass(model, BaseModel)):
                self.fail(f"output is {model!r}", "give a pydantic model")
            with self.explaining("its fields cannot be read", "declare fields of plain types"):
                fields, again = read_model(model), read_model(self.make_task(example.config).output)
            if not fields:
                self.fail("it declares no output field", "declare what `parse` gives")
            if fields != again:
                self.fail(
                    f"two tasks of one configuration give {fields!r} and {again!r}", "make it of the config alone"
                )

    def test_parser_version_is_a_number(self) -> None:
        """`parser_version` is a whole number from 1 on, which is raised when answers are read differently."""
        version = self.factory.parser_version
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            self.fail(f"parser_version is {version!r}", "give a whole number, 1 or more")

    # Prompts.

    def test_render_leaves_the_row_alone(self) -> None:
        """`render` changes nothing of the row, and takes one that is read-only."""
        for example, task in self._cases():
            row = copy.deepcopy(dict(example.row))
            self._render(task, row)
            if row != dict(example.row):
                self.fail(f"the row {clip(dict(example.row))} became {clip(row)}", "change a copy")
            self._render(task, freeze(row))

    def test_render_is_deterministic(self) -> None:
        """The same row gives the same prompt: again, after other rows, and from another task of the configuration."""
        cases = list(self._cases())
        first = [self._render(task, example.row) for example, task in cases]
        for (example, task), prompt in reversed(list(zip(cases, first, strict=True))):
            for other in (task, self.make_task(example.config)):
                if (again := self._render(other, example.row)) != prompt:
                    self.fail(f"the prompt {clip(prompt)} is {clip(again)} the next time", "no clock, random or state")

    def test_render_gives_a_whole_prompt(self) -> None:
        """A prompt has messages or a text, one of them, and can be sent as JSON."""
        for example, task in self._cases():
            prompt = self._render(task, example.row)
            if bool(prompt.messages) == (prompt.text is not None):
                self.fail(f"the prompt is {clip(prompt)}", "give `messages` or `text`, exactly one of them")
            if not isinstance(prompt.messages, tuple):
                self.fail(f"messages is of type {type(prompt.messages).__name__}", "give a tuple")
            with self.explaining(f"{clip(prompt)} cannot be sent", "use plain JSON values"):
                encode_json([[turn.role, turn.content] for turn in prompt.messages] + [prompt.text, prompt.schema])

    def test_the_schema_of_prompts_is_valid(self) -> None:
        """A prompt's JSON Schema is one; prompts have one where that is declared."""
        found = False
        for example, task in self._cases():
            schema = self._render(task, example.row).schema
            if schema is None:
                continue
            found = True
            try:
                Draft202012Validator.check_schema(dict(schema))
            except SchemaError as error:
                self.fail(f"the schema of the prompt is none: {error.message}", "give a JSON Schema")
        if found != self.supports.schema:
            self.fail(
                f"schema={self.supports.schema} is declared, and prompts have {'one' if found else 'none'}",
                "declare what is so, or give an example of it",
            )

    def test_render_has_no_effects(self) -> None:
        """`render` opens no file, contacts nothing and starts nothing."""
        for example, task in self._cases():
            self._render(task, example.row)  # what is imported on first use is then there
            with watch_effects() as effects:
                self._render(task, example.row)
            if effects:
                self.fail(f"render {effects[0]}", "read files when the task is made, and nothing else at all")

    def test_render_takes_any_value(self) -> None:
        """Whatever the columns hold, `render` gives a prompt or raises `TemplateError`; text of rows is no template."""
        for example, task in self._cases():
            self._render_anything(example, task)

    def _render_anything(self, example: TaskExample, task: Task[Any]) -> None:
        names = sorted(task.inputs)

        def try_row(values: Sequence[Any]) -> str:
            row = {**example.row, **dict(zip(names, values, strict=True))}
            try:
                prompt = self.call(f"render of {clip(row)}", lambda: task.render(row), TemplateError)
            except TemplateError:
                return ""
            return str(prompt)

        @hostile.QUIET
        @given(st.lists(hostile.VALUES, min_size=len(names), max_size=len(names)))
        def try_any(values: list[Any]) -> None:
            try_row(values)

        try_any()
        for text in hostile.HOSTILE_TEXTS:
            try_row([text] * len(names))
        if "1849" in try_row(["{{ 43 * 43 }}"] * len(names)):
            self.fail("a template in a row was evaluated: 43 * 43 became 1849", "render rows into a template once")

    # Answers.

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
            try:
                Draft202012Validator(task.output.model_json_schema(mode="serialization")).validate(values)
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
                    self.fail(f"parse of {clip(answer.text)} {effects[0]}", "read answers, and never run them")

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

    # Other processes.

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
