"""Where a backend runs: in this process, or in one of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    GetPydanticSchema,
)
from pydantic_core import CoreSchema, core_schema

import pool_core.first_model  # noqa: F401 - before the first model of this module

__all__ = ["Isolation", "Placement"]


class Isolation(BaseModel):
    """How a backend's own process is watched."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    load_timeout: float = Field(600.0, gt=0, description="Seconds for the process to start and the backend to open.")
    silence: float = Field(30.0, gt=0, description="Seconds without a sign of life after which the process is ended.")
    restarts: int = Field(
        3,
        ge=0,
        le=100,
        description="Most new processes in a row, without an answer between, in place of one that ended.",
    )


def _read_isolate(value: Any, handler: Callable[[Any], Isolation]) -> Isolation | bool:
    """Errors speak of the settings only where settings were given."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Mapping | Isolation):
        return handler(value)
    raise ValueError("give true, false, or a mapping such as {silence: 60}")


def _make_schema(_source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    return core_schema.no_info_wrap_validator_function(_read_isolate, handler.generate_schema(Isolation))


def _describe_isolate(schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
    return {"anyOf": [handler(schema["schema"]), {"type": "boolean"}]}


Isolate = Annotated[Isolation | bool, GetPydanticSchema(_make_schema, _describe_isolate)]


def _read_device(value: Any) -> Any:
    """A number is a name as well: ``device: 0``."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if text is None or (isinstance(text, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9:,/._-]*", text)):
        return text
    raise ValueError("give `cpu`, a number as in `device: 0`, or several as in `device: 0,1`")


class Placement(BaseModel):
    """What may stand in every backend beside its own configuration."""

    model_config = ConfigDict(frozen=True, extra="allow")

    isolate: Isolate | None = Field(
        None, description="Run it in a process of its own: true, false, or how the process is watched."
    )
    device: Annotated[str | int | None, BeforeValidator(_read_device)] = Field(
        None,
        description="What its own process sees of the machine's accelerators: `cpu`, `0`, `cuda:1`, `0,1`.",
    )
