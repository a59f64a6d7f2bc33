"""The task ``text-generation``: a prompt in, plain text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, Field

from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.paths import InputPath
from pool_core.interfaces.task import Task
from pool_core.interfaces.values import Answer, Prompt, Row
from pool_core.templates import Template
from pool_standard.tasks.prompts import compile_system_prompt, list_names, list_paths, render_system_prompt, take_text

__all__ = ["TextGeneration", "TextGenerationConfig", "TextGenerationOutput"]


class TextGenerationConfig(PluginConfig):
    """How prompts are made."""

    system_prompt: str | None = Field(
        None, description="Template of the system message, over the row's columns. None, or empty text: no message."
    )
    template: str = Field("{{ instruction }}", description="Template of the user message, over the row's columns.")
    accept_truncated: bool = Field(False, description="Take answers that stop at the token limit.")


class TextGenerationOutput(BaseModel):
    """What an answer becomes."""

    generation: str = Field(description="The answer's text, as it is.")


class TextGeneration(Task[TextGenerationConfig]):
    """Asks with one user message and takes the answer's text as it is."""

    Config = TextGenerationConfig
    Output = TextGenerationOutput

    def __init__(self, config: TextGenerationConfig) -> None:
        super().__init__(config)
        self._system = compile_system_prompt(config.system_prompt)
        self._user = Template(config.template, where="template")

    @property
    def inputs(self) -> tuple[str, ...]:
        return list_names(self._system, self._user)

    @property
    def input_paths(self) -> Mapping[str, Sequence[InputPath]]:
        return list_paths(system_prompt=self._system, template=self._user)

    @property
    def accepts_truncated(self) -> bool:
        return self.config.accept_truncated

    def render(self, row: Row) -> Prompt:
        return Prompt.chat(self._user.render(row), system=render_system_prompt(self._system, row))

    def parse(self, answer: Answer, row: Row) -> TextGenerationOutput:
        return TextGenerationOutput(generation=take_text(answer))
