"""The prompt format ``template``: a Jinja template over the messages, in the core's sandbox."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.prompt_format import PromptFormat
from pool_core.interfaces.values import Message
from pool_core.templates import Template
from pool_standard.prompt_formats.turns import read_turns

__all__ = ["TemplateFormat", "TemplateFormatConfig"]


class TemplateFormatConfig(PluginConfig):
    """The template, and what it inserts besides the messages."""

    template: str = Field(
        description="A chat template as models publish them (`chat_template`), over `messages`, "
        "`add_generation_prompt` (true), `bos_token` and `eos_token`. It runs in a sandbox: no `namespace`, no macros."
    )
    bos_token: str = Field("", description="What the template has as `bos_token`. Empty where the server adds it.")
    eos_token: str = Field("", description="What the template has as `eos_token`.")
    stop: list[str] = Field(default_factory=list, description="Strings that end the model's turn.")


class TemplateFormat(PromptFormat[TemplateFormatConfig]):
    """Writes messages by a chat template. As usual for them, blocks take their own line away."""

    Config = TemplateFormatConfig

    def __init__(self, config: TemplateFormatConfig) -> None:
        super().__init__(config)
        self._template = Template(config.template, where="template", chat=True)

    @property
    def stop(self) -> tuple[str, ...]:
        return tuple(self.config.stop)

    def format(self, messages: Sequence[Message]) -> str:
        turns = read_turns(messages, (), "template")
        return self._template.render(
            {
                "messages": [{"role": role, "content": text} for role, text in turns],
                "add_generation_prompt": True,
                "bos_token": self.config.bos_token,
                "eos_token": self.config.eos_token,
            }
        )
