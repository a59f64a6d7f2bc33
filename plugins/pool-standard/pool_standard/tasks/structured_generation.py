"""The task ``structured-generation``: a prompt in, the fields of a JSON Schema or a pydantic class out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationInfo, model_validator

from pool_core.interfaces.config import PluginClass, PluginConfig, RecipePath
from pool_core.interfaces.paths import InputPath
from pool_core.interfaces.task import Task
from pool_core.interfaces.values import Answer, Prompt, Row
from pool_core.templates import Template
from pool_standard.structured.reading import read_object
from pool_standard.structured.shapes import ClassShape, SchemaShape, Shape
from pool_standard.tasks.prompts import compile_system_prompt, list_names, list_paths, render_system_prompt, take_text

__all__ = ["StructuredGeneration", "StructuredGenerationConfig"]

#: Bytes of a file with a schema. One above it is something else.
_LARGEST = 1024 * 1024

_PATH: TypeAdapter[Path] = TypeAdapter(RecipePath)


def _read_schema(value: Any, info: ValidationInfo) -> Any:
    """The schema itself where a file is named: it is part of the configuration, and of every request."""
    if not isinstance(value, str | Path):
        return value
    path = _PATH.validate_python(value, context=info.context)
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise ValueError(f"cannot read the schema {path}: {error.strerror}") from None
    if len(content) > _LARGEST:
        raise ValueError(f"the schema {path} has more than {_LARGEST} bytes")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the schema {path} is no JSON: {error}") from None


class StructuredGenerationConfig(PluginConfig):
    """How prompts are made, and what answers have to be. Give ``json_schema`` or ``output_class``."""

    json_schema: Annotated[dict[str, Any] | None, BeforeValidator(_read_schema)] = Field(
        None,
        description="A JSON Schema of an object, here or in a file of that path. Its properties are the output fields.",
    )
    output_class: PluginClass | None = Field(
        None,
        description="A pydantic class instead: `package.module:Class`, of a package of an active plugin; from Python "
        "the class itself.",
    )
    system_prompt: str | None = Field(
        None, description="Template of the system message, over the row's columns. None, or empty text: no message."
    )
    template: str = Field("{{ instruction }}", description="Template of the user message, over the row's columns.")
    repair: bool = Field(
        True, description="Mend answers that are nearly JSON: quotes, commas and brackets that are wrong or missing."
    )

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.json_schema is None) == (self.output_class is None):
            raise ValueError("give `json_schema` or `output_class`, one of the two")
        return self


class StructuredGeneration(Task[StructuredGenerationConfig]):
    """Asks with one user message for a JSON object, and gives its properties as output fields.

    Where the backend constrains answers to a JSON Schema, it gets the schema; where it does not, the schema
    stands in the prompt. Either way the answer is looked for, mended where it is nearly JSON, and held
    against the schema. One that does not satisfy it is asked again as far as the member's ``reask`` says.
    """

    Config = StructuredGenerationConfig

    def __init__(self, config: StructuredGenerationConfig) -> None:
        super().__init__(config)
        self._system = compile_system_prompt(config.system_prompt)
        self._user = Template(config.template, where="template")
        self._shape = _make_shape(config)

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle has the configuration alone: the model of the fields is made anew."""
        return type(self), (self.config,)

    @property
    def inputs(self) -> tuple[str, ...]:
        return list_names(self._system, self._user)

    @property
    def input_paths(self) -> Mapping[str, Sequence[InputPath]]:
        return list_paths(system_prompt=self._system, template=self._user)

    @property
    def output(self) -> type[BaseModel]:
        return self._shape.output

    @property
    def fingerprint(self) -> str | None:
        """The schema, which may stand in a file; a class is code, which may change under its version."""
        return None if self.config.json_schema is None else json.dumps(self.config.json_schema)

    def render(self, row: Row) -> Prompt:
        asked = Prompt.chat(self._user.render(row), system=render_system_prompt(self._system, row))
        return Prompt(asked.messages, schema=self._shape.asked)

    def parse(self, answer: Answer, row: Row) -> BaseModel:
        return self._shape.read(read_object(take_text(answer), repair=self.config.repair))


def _make_shape(config: StructuredGenerationConfig) -> Shape:
    if config.output_class is not None:
        return ClassShape(config.output_class)
    assert config.json_schema is not None
    return SchemaShape(config.json_schema)
