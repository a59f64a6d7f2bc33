"""Whatever pool `output-schema` accepts: what it writes is of the merged schema, row by row."""

from __future__ import annotations

import json
import math
from datetime import date, datetime
from typing import Annotated, ClassVar, Literal, NotRequired

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    computed_field,
    create_model,
    field_serializer,
)
from typing_extensions import TypedDict

from pool_core import Member, Pool
from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.json_schema import describe_fields
from pool_core.interfaces.task import Task
from pool_core.interfaces.values import Prompt
from pool_core.registry import Registry
from pool_core.testing.scripted import ScriptedBackend
from pool_core.testing.virtual_time import run_virtual

jsonschema = pytest.importorskip("jsonschema")
pytestmark = pytest.mark.plugins("standard")

ROWS = [{"text": "a"}, {"text": "b"}]


class Part(BaseModel):
    """A struct inside a field."""

    score: int
    note: str | None = None


class Counted(BaseModel):
    """A struct with a field that is computed, one that is left out and one that is written as something else."""

    score: float
    hidden: int = Field(0, exclude=True)
    day: date = date(2020, 1, 1)

    @computed_field
    @property
    def twice(self) -> float:
        return 2 * self.score

    @field_serializer("day")
    def write_day(self, value: date) -> int:
        return value.year


class Open(BaseModel):
    """A struct with whatever else is given."""

    model_config = ConfigDict(extra="allow")

    score: int


class Pair(TypedDict):
    """A struct that may lack a field."""

    score: int
    note: NotRequired[str]


#: Types of fields, each with values that a model might give; the last of each is wrong.
KINDS = {
    "int": (int, [1, -2, "x"]),
    "float": (float, [0.5, 3, "x"]),
    "str": (str, ["hello", "", 7]),
    "literal": (Literal["yes", "no"], ["yes", "no", "maybe"]),
    "maybe": (str | None, [None, "said", 7]),
    "list": (list[int], [[], [1, 2], ["x"]]),
    "part": (Part, [{"score": 1}, {"score": 2, "note": "so"}, {"score": "x"}]),
    "map": (dict[str, float], [{}, {"a": 1.5}, {"a": "x"}]),
    "counted": (Counted, [{"score": 1}, {"score": 1.5, "hidden": 3, "day": "2024-02-29"}, {"score": math.nan}]),
    "open": (Open, [{"score": 1}, {"score": 1, "more": [1]}, {}]),
    "pair": (Pair, [{"score": 1}, {"score": 1, "note": "so"}, {"note": "so"}]),
    "numbered": (dict[int, str], [{}, {"1": "one"}, {"one": "1"}]),
    "many": (list[float], [[], [1, 2.5], [math.inf]]),
    "gaps": (list[float | None], [[None], [1, 2.5], [math.inf, "x"]]),
    "when": (datetime, ["2024-02-29T12:00:00", "2024-02-29", "never"]),
    "tally": (Annotated[int, PlainSerializer(lambda value: "|" * value, return_type=str)], [0, 3, "x"]),
}


def make_task(fields):
    output = create_model("Output", **{name: (KINDS[kind][0], ...) for name, kind in fields.items()})

    class Reading(Task[PluginConfig]):
        """Reads its fields from JSON."""

        Config: ClassVar = PluginConfig
        Output: ClassVar = output
        inputs = ("text",)

        def render(self, row):
            return Prompt.chat(row["text"])

        def parse(self, answer, row):
            return output.model_validate_json(answer.text)

    return Reading(PluginConfig())


@st.composite
def draw_member(draw, name, names):
    kinds = {field: draw(st.sampled_from(sorted(KINDS))) for field in names}
    if draw(st.booleans()):
        kinds = dict.fromkeys(
            names, draw(st.sampled_from(["int", "str", "list", "part", "counted", "open", "pair", "many"]))
        )
    answers = [{field: draw(st.sampled_from(KINDS[kind][1])) for field, kind in kinds.items()} for _ in ROWS]
    said = iter([*map(json.dumps, answers), *["{}"] * len(ROWS)])
    casts = {field: "str?" for field in names if draw(st.integers(0, 3)) == 0}
    return Member(name=name, backend=ScriptedBackend(lambda _: next(said), name), task=make_task(kinds), cast=casts)


@st.composite
def draw_pool(draw):
    names = draw(st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=3, unique=True))
    members = [draw(draw_member(name, names)) for name in "abc"[: draw(st.integers(1, 3))]]
    return Pool(members=members, policies=["output-schema"])


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(draw_pool())
def test_what_is_written_is_of_the_merged_schema(tmp_path_factory, pool):
    registry = Registry.discover()
    plan = pool.check(ROWS, registry=registry)
    event("accepted" if plan.compatible else "refused")
    if not plan.compatible:
        return
    run_dir = tmp_path_factory.mktemp("run")
    result = run_virtual(pool.arun(ROWS, run_dir=run_dir, registry=registry), threads=True)
    validator = jsonschema.Draft202012Validator(describe_fields(plan.schema))
    for row in result.rows():
        for generation in row["generations"]:
            validator.validate({name: generation[name] for name in plan.schema})
