"""Validation errors in words, at their places, in the order of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pool_core.recipe.locate import explain_errors, locate, write_path
from pool_core.recipe.yaml_source import Source, read_yaml

PATH = Path("recipe.yaml")
A_NAME = "must start with a letter or digit and hold only letters, digits and . _ - (64 at most)"


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    colour: str = "red"
    size: int = 1


def _refuse(_value):
    raise ValueError("it is never right")


class Whole(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    parts: Annotated[tuple[Part, ...], Field()] = ()
    named: dict[str, Part] = {}
    maybe: Part | None = None
    number: float = 0
    items: list[int] = []
    flag: bool = False
    mode: Literal["a", "b"] = "a"
    path: Path = Path()
    code: str = Field("x", pattern="^x+$")
    never: Annotated[str, AfterValidator(_refuse)] = ""
    few: int = Field(1, ge=1)


def explain(text, prefix=(), model=Whole):
    data, source = read_yaml(text, PATH)
    for part in prefix:
        data = data[part]
    with pytest.raises(ValidationError) as caught:
        model.model_validate(data)
    return str(explain_errors(caught.value, model, source, prefix))


def test_a_path_as_people_write_it():
    assert write_path(("pool", "members", 0, "task")) == "pool.members[0].task"
    assert write_path((0, "a")) == "[0].a"
    assert write_path(()) == ""


def test_a_place_is_the_line_and_the_path_as_far_as_they_are_known():
    source = Source(PATH, {(): 1, ("a",): 12})
    assert locate(source, ("a", "b")) == "recipe.yaml:12: a.b"
    assert locate(source, ()) == "recipe.yaml:1"
    assert locate(None, ("a", "b")) == "a.b"
    assert locate(None, ()) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("few: 1\nnumbr: 1", "recipe.yaml:2: numbr: unknown key; did you mean 'number'?"),
        (
            "parts:\n  - zzz: 1",
            "recipe.yaml:2: parts[0].zzz: unknown key; known here: colour, size",
        ),
        ("parts:\n  - color: 1", "recipe.yaml:2: parts[0].color: unknown key; did you mean 'colour'?"),
        ("maybe: {color: 1}", "recipe.yaml:1: maybe.color: unknown key; did you mean 'colour'?"),
        ("named: {key: {color: 1}}", "recipe.yaml:1: named.key.color: unknown key; did you mean 'colour'?"),
        ("number: many", "recipe.yaml:1: number: must be a number"),
        ("number: [1]", "recipe.yaml:1: number: must be a number"),
        ("number: nan", "recipe.yaml:1: number: must be a finite number"),
        ("number:", "recipe.yaml:1: number: must be a number"),
        ("items: 1", "recipe.yaml:1: items: must be a list"),
        ("items: [1, x]", "recipe.yaml:1: items[1]: must be a whole number"),
        ("items: [1, 1.5]", "recipe.yaml:1: items[1]: must be a whole number"),
        ("items:\n- 1\n- [2]", "recipe.yaml:3: items[1]: must be a whole number"),
        ("parts: {colour: red}", "recipe.yaml:1: parts: must be a list"),
        ("parts: [red]", "recipe.yaml:1: parts[0]: must be a mapping of keys to values"),
        ("named: [1]", "recipe.yaml:1: named: must be a mapping of keys to values"),
        ("flag: 5", "recipe.yaml:1: flag: must be true or false"),
        ("flag: maybe", "recipe.yaml:1: flag: must be true or false"),
        ("flag: [1]", "recipe.yaml:1: flag: must be true or false"),
        ("mode: c", "recipe.yaml:1: mode: must be 'a' or 'b'"),
        ("path: 5", "recipe.yaml:1: path: must be a path"),
        ("parts: [{colour: 5}]", "recipe.yaml:1: parts[0].colour: must be text"),
        ("code: y", f"recipe.yaml:1: code: {A_NAME}"),
        ("never: x", "recipe.yaml:1: never: it is never right"),
        ("few: 0", "recipe.yaml:1: few: input should be greater than or equal to 1"),
    ],
)
def test_one_error_in_words(text, expected):
    assert explain(text) == expected


def test_several_errors_stand_in_the_order_of_the_file():
    assert explain("few: 0\nnumbr: 1\nparts:\n- color: 1\n- size: x\n") == (
        "4 things are wrong\n"
        "  recipe.yaml:1: few: input should be greater than or equal to 1\n"
        "  recipe.yaml:2: numbr: unknown key; did you mean 'number'?\n"
        "  recipe.yaml:4: parts[0].color: unknown key; did you mean 'colour'?\n"
        "  recipe.yaml:5: parts[1].size: must be a whole number"
    )


def test_a_missing_key_is_named_where_it_should_stand():
    class Needy(BaseModel):
        rows: str
        pool: str

    assert explain("# head\nrows: x\n", model=Needy) == "recipe.yaml:2: pool: this key is missing"


def test_a_configuration_inside_the_file_has_its_own_place():
    text = "few: 1\ntask:\n  use: haiku\n  color: 1\n"
    data, source = read_yaml(text, PATH)
    with pytest.raises(ValidationError) as caught:
        Part.model_validate({"color": data["task"]["color"]})
    assert str(explain_errors(caught.value, Part, source, ("task",))) == (
        "recipe.yaml:4: task.color: unknown key; did you mean 'colour'?"
    )


class Both(BaseModel):
    @model_validator(mode="after")
    def check(self):
        raise ValueError("this does not fit together")


def test_an_error_of_the_whole_has_the_place_of_the_whole():
    assert explain("x: 1", model=Both) == "recipe.yaml:1: this does not fit together"
    with pytest.raises(ValidationError) as caught:
        Both()
    assert str(explain_errors(caught.value, Both, None)) == "this does not fit together"


def test_without_a_file_the_path_is_the_place():
    with pytest.raises(ValidationError) as caught:
        Whole(numbr=1, few=0)
    assert str(explain_errors(caught.value, Whole, None, ("pool",))) == (
        "2 things are wrong\n"
        "  pool.few: input should be greater than or equal to 1\n"
        "  pool.numbr: unknown key; did you mean 'number'?"
    )


class OneOf(BaseModel):
    model_config = ConfigDict(extra="forbid")

    part: Part | dict[str, int]
    nothing: int = 0


def test_an_unknown_key_in_a_place_without_known_keys():
    class Empty(BaseModel):
        model_config = ConfigDict(extra="forbid")

    assert explain("x: 1", model=Empty) == "recipe.yaml:1: x: unknown key"


def test_a_union_does_not_break_the_words():
    assert explain("part: {color: x}", model=OneOf).startswith("2 things are wrong\n  recipe.yaml:1: part.Part.color")
