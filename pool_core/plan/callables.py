"""Plain functions in the place of plugins, for notebooks and scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from pydantic import BaseModel

from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.policy import MemberSignature, Policy
from pool_core.interfaces.prompt_format import PromptFormat
from pool_core.interfaces.values import Finding, Message

__all__ = ["CallablePolicy", "CallablePromptFormat"]


class CallablePolicy(Policy[PluginConfig]):
    """A policy that is a function of the members' signatures."""

    Config: ClassVar[type[BaseModel]] = PluginConfig

    def __init__(self, function: Callable[[Sequence[MemberSignature]], Iterable[Finding] | None]) -> None:
        super().__init__(PluginConfig())
        self._function = function

    def judge(self, members: Sequence[MemberSignature]) -> Iterable[Finding]:
        found = self._function(members)
        return () if found is None else found  # what is false and no findings must not pass for none


class CallablePromptFormat(PromptFormat[PluginConfig]):
    """A prompt format that is a function of the messages."""

    Config: ClassVar[type[BaseModel]] = PluginConfig

    def __init__(self, function: Callable[[Sequence[Message]], str]) -> None:
        super().__init__(PluginConfig())
        self._function = function

    def format(self, messages: Sequence[Message]) -> str:
        return self._function(messages)
