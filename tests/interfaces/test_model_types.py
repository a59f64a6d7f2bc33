"""The types of a model's fields: what is written is of the type that was read."""

from __future__ import annotations

import dataclasses
import enum
import json
import typing
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType, Optional, Union

import pytest
import typing_extensions
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    Json,
    PlainSerializer,
    RootModel,
    Secret,
    SecretBytes,
    SecretStr,
    SerializeAsAny,
    WrapSerializer,
    computed_field,
    create_model,
    field_serializer,
    model_serializer,
    model_validator,
)

from pool_core.interfaces.json_schema import describe_fields
from pool_core.interfaces.model_types import find_exact_types, read_model
from pool_core.interfaces.types import ANY, FieldType

UserId = NewType("UserId", str)


def read_annotation(annotation):
    config = ConfigDict(arbitrary_types_allowed=True)
    return read_model(create_model("Output", __config__=config, x=(annotation, ...)))["x"]


class Pair(typing_extensions.TypedDict):
    left: int
    right: typing_extensions.NotRequired[str]


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Number(enum.IntEnum):
    ONE = 1


class Mixed(enum.Enum):
    ONE = 1
    TWO = "two"


class Inner(BaseModel):
    b: int
    a: str | None = None


class Names(RootModel[list[str]]):
    pass


class Node(BaseModel):
    value: int
    children: list[Node] = []
    parent: Node | None = None


class Tagged(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (type(None), "null"),
        (bool, "bool"),
        (int, "int"),
        (float, "float"),
        (str, "str"),
        (Tagged, "any"),
        (Any, "any"),
        (object, "any"),
        (datetime, "str"),
        (Optional[int], "int?"),  # noqa: UP045 - both spellings are read
        (int | None, "int?"),
        (None | int, "int?"),
        (Union[int, float], "float"),  # noqa: UP007
        (int | float | None, "float?"),
        (int | str, "any"),
        (int | str | None, "any"),
        (int | None | str, "any"),
        (Literal["b", "a"], "'a' | 'b'"),
        (Literal["a", None], "'a'?"),  # noqa: PYI061
        (Literal[1, 2], "int"),
        (Literal[True], "bool"),
        (Literal["a", 1], "any"),
        (Literal[Colour.RED], "'red'"),
        (Literal["a"] | str, "str"),  # noqa: PYI051
        (Colour, "'blue' | 'red'"),
        (Number, "int"),
        (Mixed, "any"),
        (list, "list[any]"),
        (tuple, "list[any]"),
        (dict, "map[any]"),
        (typing.List, "list[any]"),  # noqa: UP006
        (typing.Dict, "map[any]"),  # noqa: UP006
        (typing.Tuple, "list[any]"),  # noqa: UP006
        (typing.Sequence, "list[any]"),
        (list[int], "list[int]"),
        (list[None], "list[null]"),
        (list[int | None], "list[int?]"),
        (set[str], "list[str]"),
        (frozenset[str], "list[str]"),
        (Sequence[int], "list[int]"),
        (Iterable[int], "list[int]"),
        (tuple[int, ...], "list[int]"),
        (tuple[int, float], "list[float]"),
        (tuple[int, str], "list[any]"),
        (tuple[()], "list[null]"),
        (list[list[int]] | None, "list[list[int]]?"),
        (dict[str, int], "map[int]"),
        (Mapping[str, list[int]], "map[list[int]]"),
        (dict[Annotated[str, Field(min_length=1)], int], "map[int]"),
        (dict[Colour, int], "map[int]"),
        (deque[int], "list[int]"),
        (OrderedDict[str, int], "map[int]"),
        (defaultdict[str, int], "map[int]"),
        (UserId, "str"),
        (Decimal, "str"),
        (HttpUrl, "str"),
        (Pair, "{left: int, right: str?}"),
        (Json[list[int]], "list[int]"),
        (SerializeAsAny[Inner], "any"),
        (dict[int, str], "map[str]"),
        (Inner, "{a: str?, b: int}"),
        (list[Inner], "list[{a: str?, b: int}]"),
        (Names, "list[str]"),
        (Annotated[int, Field(ge=1)], "int"),
        (Annotated[int, {"no": "hash"}], "int"),
        (list[Annotated[int, {"no": "hash"}]], "list[int]"),
        (Node, "{children: list[any], parent: any, value: int}"),
    ],
)
def test_annotations(annotation, text):
    assert str(read_annotation(annotation)) == text


def test_strings_of_an_enumeration_are_plain_strings():
    assert type(read_annotation(Literal[Colour.RED]).values[0]) is str
    assert {type(value) for value in read_annotation(Colour).values} == {str}


def test_a_models_fields_are_in_order_of_declaration():
    assert list(read_model(Inner)) == ["b", "a"]
    assert read_model(Inner) == {"b": FieldType("int"), "a": FieldType("str", nullable=True)}
    assert read_model(Node)["children"] == FieldType("list", items=ANY)


def test_models_that_hold_themselves_by_way_of_others_have_a_type():
    class Left(BaseModel):
        right: Right | None = None
        again: Inner | None = None

    class Right(BaseModel):
        left: Left | None = None

    Left.model_rebuild(_types_namespace={"Right": Right})
    assert str(read_annotation(Left)) == "{again: {a: str?, b: int}?, right: {left: any}?}"


class Computed(BaseModel):
    a: int

    @computed_field
    @property
    def twice(self) -> int:
        return 2 * self.a


class Extra(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Excluded(BaseModel):
    a: int
    b: int = Field(0, exclude=True)


class Shown(BaseModel):
    a: int

    @field_serializer("a")
    def show(self, value: int) -> str:
        return f"no. {value}"


class Untold(BaseModel):
    a: int

    @field_serializer("a")
    def show(self, value):
        return [value]


class Whole(BaseModel):
    a: int

    @model_serializer
    def write(self):
        return {"z": self.a}


class Text(BaseModel):
    a: int

    @model_serializer
    def write(self) -> str:
        return str(self.a)


class Checked(BaseModel):
    a: int

    @model_validator(mode="before")
    @classmethod
    def look(cls, data):
        return data

    @model_validator(mode="wrap")
    @classmethod
    def around(cls, data, handler):
        return handler(data)


class Rare(BaseModel):
    a: int | None

    @field_serializer("a", when_used="unless-none")
    def show(self, value: int) -> str:
        return str(value)


class Seconds(BaseModel):
    model_config = ConfigDict(ser_json_timedelta="float")
    a: timedelta


class Aliased(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)
    a: int = Field(alias="theA")


@dataclasses.dataclass
class Point:
    x: int
    scale: dataclasses.InitVar[int] = 1
    y: float = 0.0


WRITTEN = [
    (Computed, "{a: int, twice: int}", {"a": 1}),
    (Extra, "any", {"a": 1, "z": 2}),
    (Excluded, "{a: int}", {"a": 1}),
    (Shown, "{a: str}", {"a": 1}),
    (Untold, "{a: any}", {"a": 1}),
    (Whole, "any", {"a": 1}),
    (Text, "str", {"a": 1}),
    (Checked, "{a: int}", {"a": 1}),
    (Rare, "{a: str?}", {"a": 1}),
    (Rare, "{a: str?}", {"a": None}),
    (Seconds, "{a: any}", {"a": 3}),
    (Aliased, "{a: int}", {"theA": 1}),
    (Point, "{x: int, y: float}", {"x": 1}),
    (Pair, "{left: int, right: str?}", {"left": 1}),
    (RootModel[list[Computed]], "list[{a: int, twice: int}]", [{"a": 1}]),
    (Annotated[int, PlainSerializer(str, return_type=str)], "str", 1),
    (Annotated[int, PlainSerializer(lambda value: [value])], "any", 1),
    (Annotated[int, WrapSerializer(lambda value, handler: str(handler(value)), return_type=str)], "str", 1),
    (Annotated[int | None, PlainSerializer(float, return_type=float, when_used="json-unless-none")], "float?", None),
    (Sequence[int], "list[int]", [1]),
    (deque[int], "list[int]", [1]),
    (defaultdict[str, int], "map[int]", {"a": 1}),
    (dict[int, str], "map[str]", {"1": "x"}),
    (dict[date, int], "map[int]", {"2020-01-01": 1}),
    (datetime, "str", "2020-01-01T00:00:00"),
    (timedelta, "str", "PT3S"),
    (Decimal, "str", "1.5"),
    (bytes, "str", "x"),
    (HttpUrl, "str", "http://localhost"),
    (Json[list[int]], "list[int]", "[1]"),
    (Literal["a", None], "'a'?", None),  # noqa: PYI061
    (Mixed, "any", "two"),
]


@pytest.mark.parametrize(("annotation", "text", "value"), WRITTEN)
def test_what_is_written_is_of_the_type_that_was_read(annotation, text, value):
    jsonschema = pytest.importorskip("jsonschema")
    model = create_model("Output", x=(annotation, ...))
    fields = read_model(model)
    assert str(fields["x"]) == text
    output = model.model_validate_json(json.dumps({"x": value}))
    written = output.model_dump(mode="json", by_alias=False, warnings="error")
    jsonschema.validate(written, describe_fields(fields))
    assert written.keys() == fields.keys()


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (Computed, {"a": "int", "twice": "int"}),
        (Extra, {"a": "int"}),  # the pool takes what is declared
        (Excluded, {"a": "int"}),
        (Checked, {"a": "int"}),
        (RootModel[Inner], {"b": "int", "a": "str?"}),
        (RootModel[Node], {"value": "int", "children": "list[any]", "parent": "any"}),
    ],
)
def test_the_fields_that_a_model_writes(model, fields):
    assert [(name, str(type_)) for name, type_ in read_model(model).items()] == list(fields.items())


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (RootModel[list[int]], r"^RootModel\[list\[int\]\] is written as list\[int\]$"),
        (RootModel[dict[str, int]], r"is written as map\[int\]$"),
        (Whole, "^Whole is written as any$"),
        (Text, "^Text is written as str$"),
    ],
)
def test_what_is_not_written_as_named_fields_is_refused(model, text):
    with pytest.raises(ValueError, match=text):
        read_model(model)


def test_a_model_that_waits_for_a_name_is_completed():
    class Outer(BaseModel):
        late: Late

    class Late(BaseModel):
        a: int

    assert not Outer.__pydantic_complete__
    with pytest.raises(NameError, match="Late"):
        read_model(Outer)
    Outer.model_rebuild(_types_namespace={"Late": Late})
    assert str(read_model(Outer)["late"]) == "{a: int}"


class SecretDate(Secret[date]):
    def _display(self):
        return "****/**/**"


@pytest.mark.parametrize(
    ("annotation", "value", "type_"),
    [
        (SecretStr, "s", "str"),
        (SecretBytes, b"s", "str"),
        (Secret[int], 1, "str"),
        (Secret[dict[str, int]], {"a": 1}, "str"),
        (Secret[int | None], None, "str"),
        (Secret[int] | None, None, "str?"),
        (SecretDate, "2020-01-01", "str"),
    ],
)
def test_a_secret_is_written_as_text_whatever_it_hides(annotation, value, type_):
    model = create_model("Output", x=(annotation, ...))
    assert str(read_model(model)["x"]) == type_
    written = model(x=value).model_dump(mode="json")["x"]
    assert written is None if type_ == "str?" else isinstance(written, str)


class Scalars(BaseModel):
    """Fields whose values are written as they are."""

    text: Annotated[str, Field(max_length=3)]
    number: int = Field(1, ge=0, serialization_alias="n")
    truth: bool = True


class Computing(Scalars):
    """Writes more than it holds."""

    @computed_field
    def twice(self) -> int:
        return 2 * self.number


class Serializing(Scalars):
    """Writes a field in its own way."""

    @field_serializer("text")
    def shout(self, value: str) -> str:
        return value.upper()


class Replacing(Scalars):
    """Writes something else."""

    @model_serializer
    def replace(self) -> dict[str, Any]:
        return {}


class Validating(Scalars):
    """Looks at itself when it is made."""

    @model_validator(mode="after")
    def check(self) -> Validating:
        return self


def test_exact_types_are_those_of_plain_scalars():
    types = find_exact_types(Scalars)
    assert types is not None
    assert list(types.values()) == [str, int, bool]
    assert {name: type(value) for name, value in vars(Scalars(text="x")).items()} == types
    assert find_exact_types(create_model("Output")) == {}


@pytest.mark.parametrize("model", [Computing, Serializing, Replacing, Validating])
def test_a_model_with_code_of_its_own_has_no_exact_types(model):
    assert find_exact_types(model) is None


@pytest.mark.parametrize(
    "annotation",
    [
        float,
        str | None,
        list[str],
        Colour,
        Any,
        Literal["x"],
        Scalars,
        SecretStr,
        Annotated[str, PlainSerializer(len)],
        Annotated[str, Field(exclude=True)],
    ],
)
def test_a_field_that_may_be_written_otherwise_has_no_exact_type(annotation):
    assert find_exact_types(create_model("Output", x=(str, ...), y=(annotation, ...))) is None


def test_fields_beyond_the_declared_ones_that_have_a_type_are_for_pydantic_to_look_at():
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        __pydantic_extra__: dict[str, int]
        x: str

    assert find_exact_types(Open) is None
