"""The task ``code-generation``: a prompt in, the code of the answer out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from pool_core.errors import ParseError
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.paths import InputPath
from pool_core.interfaces.task import Task
from pool_core.interfaces.values import Answer, Prompt, Row
from pool_core.templates import Template
from pool_standard.code_blocks import extract_code
from pool_standard.tasks.prompts import compile_system_prompt, list_names, list_paths, render_system_prompt, take_text

__all__ = ["CodeGeneration", "CodeGenerationConfig", "CodeGenerationOutput"]

_SYSTEM_PROMPT: Final = (
    "You write {{ language }} code. Answer with one fenced code block that holds the complete code, and nothing else."
)
_LANGUAGE: Final = "language"


class CodeGenerationConfig(PluginConfig):
    """How prompts are made and code is found in answers."""

    language: str = Field(
        "python",
        min_length=1,
        description="The language of the code. Templates have it as `language`, and code blocks of it are preferred.",
    )
    system_prompt: str | None = Field(
        _SYSTEM_PROMPT,
        description="Template of the system message, over the row's columns and `language`. "
        "None, or empty text: no message.",
    )
    template: str = Field(
        "{{ instruction }}", description="Template of the user message, over the row's columns and `language`."
    )
    extract: Literal["first", "longest", "all", "none"] = Field(
        "first",
        description="Which fenced code blocks to take: the first, the longest, all joined by a blank line, or none: "
        "the answer as it is. Blocks that are marked as `language` go before all others.",
    )
    without_block: Literal["whole", "fail"] = Field(
        "whole", description="What an answer without a code block is: code as a whole, or a failed cell."
    )
    accept_truncated: bool = Field(False, description="Take answers that stop at the token limit.")


class CodeGenerationOutput(BaseModel):
    """What an answer becomes."""

    code: str = Field(description="The code of the answer.")


class CodeGeneration(Task[CodeGenerationConfig]):
    """Asks with one user message and takes the code out of the answer. The code is never run."""

    Config = CodeGenerationConfig
    Output = CodeGenerationOutput

    def __init__(self, config: CodeGenerationConfig) -> None:
        super().__init__(config)
        self._system = compile_system_prompt(config.system_prompt)
        self._user = Template(config.template, where="template")

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(name for name in list_names(self._system, self._user) if name != _LANGUAGE)

    @property
    def input_paths(self) -> Mapping[str, Sequence[InputPath]]:
        return list_paths(system_prompt=self._system, template=self._user)

    @property
    def accepts_truncated(self) -> bool:
        return self.config.accept_truncated

    def render(self, row: Row) -> Prompt:
        values: dict[str, Any] = {**row, _LANGUAGE: self.config.language}
        return Prompt.chat(self._user.render(values), system=render_system_prompt(self._system, values))

    def parse(self, answer: Answer, row: Row) -> CodeGenerationOutput:
        text = take_text(answer)
        if self.config.extract == "none":
            return CodeGenerationOutput(code=text)
        code = extract_code(text, self.config.language, self.config.extract)
        if code is None and self.config.without_block == "fail":
            raise ParseError(
                "the answer has no fenced code block",
                hint="Ask for one in the system prompt, or set `without_block: whole`.",
            )
        return CodeGenerationOutput(code=text if code is None else code)
