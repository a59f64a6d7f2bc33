"""A right prompt format, and prompt formats that break one promise each."""

import os

from pool_core.errors import TemplateError
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.prompt_format import PromptFormat


class RightFormat(PromptFormat[PluginConfig]):
    Config = PluginConfig
    made = 0

    @property
    def stop(self):
        return ("<end>",)

    def format(self, messages):
        if any(message.role == "narrator" for message in messages):
            raise TemplateError("nobody may narrate")
        return "".join(f"{message.role}: {message.content}<end>" for message in messages) + "assistant:"


class Shouts(RightFormat):
    def format(self, messages):
        return super().format(messages).upper()


class ReturnsNothing(RightFormat):
    def format(self, messages):
        return None


class OneStop(RightFormat):
    stop = "<end>"


class Counts(RightFormat):
    def format(self, messages):
        type(self).made += 1
        return super().format(messages) + str(self.made)


class TakesAway(RightFormat):
    def format(self, messages):
        if isinstance(messages, list):
            messages.pop()
        return super().format(messages)


class ReadsFile(RightFormat):
    def format(self, messages):
        open(os.devnull).close()
        return super().format(messages)


class ForgetsFirst(RightFormat):
    def format(self, messages):
        return super().format(messages[1:])


class Strips(RightFormat):
    def format(self, messages):
        return " ".join(super().format(messages).split())


class EndsTurn(RightFormat):
    def format(self, messages):
        return super().format(messages).removesuffix("assistant:")


class NeedsText(RightFormat):
    def format(self, messages):
        return super().format(messages) + "".join(message.content.strip()[:0] for message in messages)


class QuotesAll(RightFormat):
    def format(self, messages):
        for message in messages:
            if message.role not in ("user", "system", "assistant"):
                raise TemplateError(f"there is no role {message.role}")
        return super().format(messages)


class NeverEnds(RightFormat):
    def format(self, messages):
        while len(messages) > 100:
            pass
        return super().format(messages)


class OrdersBySet(RightFormat):
    def format(self, messages):
        return super().format(messages) + " ".join({f"word-{number}" for number in range(20)})
