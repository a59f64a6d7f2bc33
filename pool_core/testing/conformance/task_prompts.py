"""The checks of what a task declares, and of its prompts."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from pydantic import BaseModel

from pool_core.errors import TemplateError
from pool_core.interfaces.encoding import encode_json
from pool_core.interfaces.frozen import freeze
from pool_core.interfaces.model_types import read_model
from pool_core.interfaces.paths import InputPath
from pool_core.interfaces.task import Task
from pool_core.interfaces.types import FieldType, accepts, infer_type
from pool_core.testing.conformance import hostile
from pool_core.testing.conformance.base import clip
from pool_core.testing.conformance.declared import TaskExample
from pool_core.testing.conformance.effects import watch_effects
from pool_core.testing.conformance.task_suite import TaskSuite

__all__ = ["PromptChecks"]


class PromptChecks(TaskSuite):
    """Declarations and prompts."""

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
