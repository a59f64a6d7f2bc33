"""The interface of a prompt format: chat messages become one text for text-completion models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel

from pool_core.interfaces.values import Message

__all__ = ["PromptFormat"]

ConfigT = TypeVar("ConfigT", bound=BaseModel)


class PromptFormat(ABC, Generic[ConfigT]):
    """Writes chat messages the way a model was trained to read them, up to where its answer starts."""

    Config: ClassVar[type[BaseModel]]

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings that end the model's turn. Sent as stop strings unless the recipe sets its own."""
        return ()

    @abstractmethod
    def format(self, messages: Sequence[Message]) -> str:
        """Make one text of ``messages``. Pure.

        Raises:
            TemplateError: these messages cannot be written in this format.
        """
