"""The interface of a task: a row becomes a prompt, an answer becomes typed output fields."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel

from pool_core.interfaces.paths import InputPath
from pool_core.interfaces.types import FieldType
from pool_core.interfaces.values import Answer, Prompt, Row

__all__ = ["Task"]

ConfigT = TypeVar("ConfigT", bound=BaseModel)


class Task(ABC, Generic[ConfigT]):
    """Turns a row into a prompt and a raw answer into typed output fields.

    A task is configured by a frozen pydantic model and is not one itself. `render` and `parse` are
    pure: no network, no files, no clock, no state. They are called from one thread, once per cell, and
    ended where they take more than the member's ``limits: {task_timeout, task_memory}``.
    """

    #: The configuration that recipes write beside ``use:``.
    Config: ClassVar[type[BaseModel]]
    #: The output fields and their types. Tasks whose fields depend on the configuration override `output`.
    Output: ClassVar[type[BaseModel]]
    #: Raise it when `parse` reads the same answer differently than before: stored answers are then
    #: read again, and none is asked again.
    parser_version: ClassVar[int] = 1

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    @property
    @abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """The columns that `render` needs, before the member's ``inputs:`` mapping."""

    @property
    def input_types(self) -> Mapping[str, FieldType]:
        """The types of inputs that only make sense in one: a plan is refused where a column holds another."""
        return {}

    @property
    def input_paths(self) -> Mapping[str, Sequence[InputPath]]:
        """The places inside inputs that `render` needs, by the key of the configuration that says so.

        A plan is refused where the type of a column has no such place. `Template.paths` has those of a
        template. Paths that begin with no input are passed over.
        """
        return {}

    @property
    def output(self) -> type[BaseModel]:
        """The model of the output fields."""
        return self.Output

    @property
    def fingerprint(self) -> str | None:
        """What else decides its prompts and the reading of answers, beside the recipe and the plugin's version.

        Such as the content of a file. None: that cannot be known, as of code that may change; then each
        start of a run looks at all cells again.
        """
        return ""

    @property
    def accepts_truncated(self) -> bool:
        """Whether `parse` is called for an answer that stops at the token limit.

        If not, such a cell fails with the cause ``truncated``; its answer stays in the store.
        """
        return False

    @property
    def heavy(self) -> bool:
        """Whether `render` and `parse` run in a process of their own, which can be ended at any moment.

        A task that is not heavy runs on the event loop, where nothing else runs meanwhile: it has to
        need milliseconds. Heavy is what searches with foreign patterns, compiles, computes, or spends
        long in C code, which cannot be interrupted. It costs about 0.5 ms a cell, and the task must be
        importable: its class in a module, its configuration of plain values. A class may just say
        ``heavy = True``.
        """
        return False

    @abstractmethod
    def render(self, row: Row) -> Prompt:
        """Make the prompt for ``row``, which has at least the columns `inputs` and is read-only.

        Raises:
            TemplateError: the row does not yield a prompt; the cell fails with the cause ``render``.
        """

    @abstractmethod
    def parse(self, answer: Answer, row: Row) -> BaseModel:
        """Read ``answer``, the reply to what `render` made of ``row``.

        Returns:
            An instance of `output`.

        Raises:
            ParseError: the answer cannot be read; the cell fails and the answer is kept.
        """
