"""A right task, and tasks that break one promise each."""

import itertools
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, create_model, field_serializer

from pool_core.errors import ParseError
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.task import Task
from pool_core.interfaces.types import FieldType
from pool_core.interfaces.values import Prompt

Nothing = None


class RightConfig(PluginConfig):
    column: str = Field("text", description="The column.")


class RightOutput(BaseModel):
    said: str


class RightTask(Task[RightConfig]):
    Config = RightConfig
    Output = RightOutput

    @property
    def inputs(self):
        return (self.config.column,)

    def render(self, row):
        return Prompt.chat(f"Say: {row[self.config.column]}")

    def parse(self, answer, row):
        if not answer.text or "?" in answer.text:
            raise ParseError("the answer asks back")
        return self.Output(said=answer.text)


# configurations


class ThawedConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")
    column: str = Field("text", description="The column.")


class LooseConfig(BaseModel):
    model_config = ConfigDict(frozen=True)
    column: str = Field("text", description="The column.")


class LossyConfig(RightConfig):
    @field_serializer("column")
    def shout(self, column):
        return column.upper()


class OddSchemaConfig(RightConfig):
    model_config = ConfigDict(json_schema_extra={"properties": {"column": {"type": "no such type"}}})


class UndescribedConfig(RightConfig):
    more: int = 1


class LockedConfig(RightConfig):
    _lock: Any = PrivateAttr(default_factory=threading.Lock)


class ThawedPart(BaseModel):
    model_config = ConfigDict(extra="forbid")
    most: int = 1


class LoosePart(BaseModel):
    model_config = ConfigDict(frozen=True)
    most: int = 1


class ThawedInsideConfig(RightConfig):
    parts: list[ThawedPart] = Field([ThawedPart()], description="Parts.")


class LooseInsideConfig(RightConfig):
    parts: dict[str, LoosePart] = Field({"a": LoosePart()}, description="Parts.")


class ThawedInside(RightTask):
    Config = ThawedInsideConfig


class LooseInside(RightTask):
    Config = LooseInsideConfig


class Thawed(RightTask):
    Config = ThawedConfig


class Loose(RightTask):
    Config = LooseConfig


class Lossy(RightTask):
    Config = LossyConfig


class OddSchema(RightTask):
    Config = OddSchemaConfig


class Undescribed(RightTask):
    Config = UndescribedConfig


class Locked(RightTask):
    Config = LockedConfig


# declarations


class NeedsAbsent(RightTask):
    inputs = ("text", "absent")


class NeedsMore(RightTask):
    def render(self, row):
        return Prompt.chat(f"{row['text']} {row.get('other')}")


class WrongInputType(RightTask):
    input_types = {"text": FieldType("int")}


class NoOutput(RightTask):
    @property
    def output(self):
        return create_model("Empty")


class NoVersion(RightTask):
    parser_version = 0


# prompts


class ChangesRow(RightTask):
    def render(self, row):
        row["seen"] = True
        return super().render(row)


class Counts(RightTask):
    def __init__(self, config):
        super().__init__(config)
        self._numbers = itertools.count()

    def render(self, row):
        return Prompt.chat(f"{next(self._numbers)}: {row['text']}")

    def parse(self, answer, row):
        return RightOutput(said=f"{next(self._numbers)}: {answer.text}")


class EmptyPrompt(RightTask):
    def render(self, row):
        return Prompt()


class NoSchema(RightTask):
    def render(self, row):
        return Prompt(Prompt.chat("x").messages, schema={"type": "no such type"})


class ReadsFile(RightTask):
    def render(self, row):
        with open(os.devnull) as file:
            return Prompt.chat(file.read() + "x")


class StartsThread(RightTask):
    def render(self, row):
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        return super().render(row)


class Prints(RightTask):
    def render(self, row):
        print("rendering")  # noqa: T201
        return super().render(row)


class NeedsText(RightTask):
    def render(self, row):
        return Prompt.chat(row["text"].strip())


class RendersRows(RightTask):
    def render(self, row):
        return Prompt.chat(str(row["text"]).replace("{{ 43 * 43 }}", str(43 * 43)))


# answers


class Shouts(RightTask):
    def parse(self, answer, row):
        return RightOutput(said=(answer.text or "").upper())


class ShortOutput(BaseModel):
    said: str = Field(json_schema_extra={"maxLength": 1})


class NotItsSchema(RightTask):
    Output = ShortOutput


class NotItsType(RightTask):
    def parse(self, answer, row):
        return RightOutput.model_construct(said=1)


class ParseChangesRow(RightTask):
    def parse(self, answer, row):
        row["seen"] = True
        return super().parse(answer, row)


class RunsAnswers(RightTask):
    def parse(self, answer, row):
        try:
            eval(answer.text or "")
        except BaseException:
            pass
        return super().parse(answer, row)


class NeedsAnswer(RightTask):
    def parse(self, answer, row):
        return RightOutput(said=answer.text.strip())


class BreaksOnRefusal(RightTask):
    def parse(self, answer, row):
        if answer.refusal:
            raise KeyError("refusal")
        return super().parse(answer, row)


class BreaksOnShort(RightTask):
    def parse(self, answer, row):
        (answer.text or "    ")[3]
        return super().parse(answer, row)


class BreaksOnHuge(RightTask):
    def parse(self, answer, row):
        if len(answer.text or "") > 100_000:
            raise RecursionError
        return super().parse(answer, row)


class NeverEnds(RightTask):
    def parse(self, answer, row):
        while len(answer.text or "") > 100_000:
            pass
        return super().parse(answer, row)


class NeedsUtf8(RightTask):
    def parse(self, answer, row):
        (answer.text or "").encode()
        return super().parse(answer, row)


class NeedsJson(RightTask):
    def parse(self, answer, row):
        return RightOutput(said=str(json.loads(answer.text or "")))


class NeedsAscii(RightTask):
    def parse(self, answer, row):
        (answer.text or "").encode("utf-8", "surrogatepass").decode("ascii")
        return super().parse(answer, row)


class SaysNothing(RightTask):
    def parse(self, answer, row):
        raise ParseError("")


class TakesCut(RightTask):
    accepts_truncated = True


class HoldsLambda(RightTask):
    def __init__(self, config):
        super().__init__(config)
        self._work = lambda text: text


class OrdersBySet(RightTask):
    def render(self, row):
        return Prompt.chat(" ".join({f"word-{number}" for number in range(20)}))


class RunsInThread(RightTask):
    def parse(self, answer, row):
        def run():
            try:
                eval(answer.text or "")
            except Exception:
                pass

        with ThreadPoolExecutor() as threads:
            threads.submit(run)
        return super().parse(answer, row)


class AliasedOutput(BaseModel):
    model_config = ConfigDict(validate_by_name=True)
    said: str = Field(alias="words", serialization_alias="WORDS")


class Aliased(RightTask):
    """Right: a name that JSON has elsewhere is not that of the pool."""

    Output = AliasedOutput
