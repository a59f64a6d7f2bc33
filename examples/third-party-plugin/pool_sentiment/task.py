"""The task: one prompt for a text, and a parser that takes a label out of the answer."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, Field

from pool_core.errors import ParseError
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.task import Task
from pool_core.interfaces.values import Answer, Prompt, Row

__all__ = ["Sentiment"]

_LABEL = re.compile(r"\b(positive|negative|neutral)\b", re.IGNORECASE)


class SentimentConfig(PluginConfig):
    """What recipes write beside ``use: sentiment``."""

    column: str = Field("text", description="The column with the text to label.")


class SentimentOutput(BaseModel):
    """What the task gives to the pool."""

    label: Literal["positive", "negative", "neutral"]


class Sentiment(Task[SentimentConfig]):
    """Labels a text as positive, negative or neutral."""

    Config = SentimentConfig
    Output = SentimentOutput

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.config.column,)

    def render(self, row: Row) -> Prompt:
        return Prompt.chat(
            f"What is the sentiment of this text?\n\n{row[self.config.column]}",
            system="Answer with one word: positive, negative or neutral.",
        )

    def parse(self, answer: Answer, row: Row) -> SentimentOutput:
        found = {label.lower() for label in _LABEL.findall(answer.text or "")}
        if len(found) != 1:
            raise ParseError(f"the answer names {len(found)} labels, one is needed")
        return SentimentOutput.model_validate({"label": found.pop()})
