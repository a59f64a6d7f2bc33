"""What the checks of a task work with: how it is made and called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from pool_core.errors import ParseError
from pool_core.interfaces.encoding import encode_json
from pool_core.interfaces.model_types import read_model
from pool_core.interfaces.task import Task
from pool_core.interfaces.values import Answer, Prompt, Row
from pool_core.testing.conformance.base import PluginConformance, clip
from pool_core.testing.conformance.declared import TaskExample
from pool_core.testing.conformance.fitting import fits

__all__ = ["TaskSuite"]


class TaskSuite(PluginConformance):
    """A task and its examples. `TaskConformance` adds the checks."""

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
