"""Prompt formats of well-known models, as their published chat templates write them.

The token that begins a text (``<s>``) is left to the server, which adds it to every prompt. Content
is inserted as it is, once: nothing in it is ever read as a template.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.prompt_format import PromptFormat
from pool_core.interfaces.values import Message
from pool_standard.prompt_formats.turns import read_turns, split_system

__all__ = ["Alpaca", "ChatML", "Llama2", "NamedFormatConfig", "OpenChat", "Zephyr"]

_SPEAKERS: Final = ("system", "user", "assistant")


class NamedFormatConfig(PluginConfig):
    """The named formats have nothing to set."""


class ChatML(PromptFormat[NamedFormatConfig]):
    """ChatML, of OpenHermes, Dolphin, Qwen and many more.

    No system message is added where there is none; some models' own templates do that.
    """

    Config = NamedFormatConfig

    @property
    def stop(self) -> tuple[str, ...]:
        return ("<|im_end|>",)

    def format(self, messages: Sequence[Message]) -> str:
        turns = read_turns(messages, ("system", "developer", "user", "assistant", "tool"), "chatml")
        written = [f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns]
        return "".join(written) + "<|im_start|>assistant\n"


class Zephyr(PromptFormat[NamedFormatConfig]):
    """The format of Zephyr 7B, Notus 7B and TinyLlama Chat."""

    Config = NamedFormatConfig

    @property
    def stop(self) -> tuple[str, ...]:
        return ("</s>",)

    def format(self, messages: Sequence[Message]) -> str:
        turns = read_turns(messages, _SPEAKERS, "zephyr")
        return "".join(f"<|{role}|>\n{text}</s>\n" for role, text in turns) + "<|assistant|>\n"


class OpenChat(PromptFormat[NamedFormatConfig]):
    """The format of OpenChat 3.5 and Starling."""

    Config = NamedFormatConfig

    @property
    def stop(self) -> tuple[str, ...]:
        return ("<|end_of_turn|>",)

    def format(self, messages: Sequence[Message]) -> str:
        turns = read_turns(messages, _SPEAKERS, "openchat")
        written = [f"GPT4 Correct {role.title()}: {text}<|end_of_turn|>" for role, text in turns]
        return "".join(written) + "GPT4 Correct Assistant:"


class Alpaca(PromptFormat[NamedFormatConfig]):
    """The format of Stanford Alpaca and the models tuned after it.

    A system message stands in the place of the preamble. Blanks around each content are dropped.
    """

    Config = NamedFormatConfig
    PREAMBLE: Final = (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request."
    )

    @property
    def stop(self) -> tuple[str, ...]:
        return ("</s>", "### Instruction:")

    def format(self, messages: Sequence[Message]) -> str:
        system, turns = split_system(read_turns(messages, _SPEAKERS, "alpaca"), "alpaca")
        pieces = [f"{(self.PREAMBLE if system is None else system).strip()}\n\n"]
        for role, text in turns:
            if role == "user":
                pieces.append(f"### Instruction:\n{text.strip()}\n\n### Response:\n")
            else:
                pieces.append(f"{text.strip()}</s>\n\n")
        return "".join(pieces)


class Llama2(PromptFormat[NamedFormatConfig]):
    """The format of Llama 2 Chat.

    The system message is folded into the first user turn. Blanks around each turn are dropped. Each
    turn after an answer begins with ``<s>`` again; only the first one is the server's.
    """

    Config = NamedFormatConfig

    @property
    def stop(self) -> tuple[str, ...]:
        return ("</s>",)

    def format(self, messages: Sequence[Message]) -> str:
        system, turns = split_system(read_turns(messages, _SPEAKERS, "llama2"), "llama2")
        if system is not None:
            turns = [("user", f"<<SYS>>\n{system}\n<</SYS>>\n\n{turns[0][1]}"), *turns[1:]]
        pieces = []
        for role, text in turns:
            if role == "user":
                pieces.append(f"[INST] {text.strip()} [/INST]")
            else:
                pieces.append(f" {text.strip()} </s><s>")
        return "".join(pieces)
