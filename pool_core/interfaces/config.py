"""What plugins' configurations are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
)

import pool_core.first_model  # noqa: F401 - before the first model of this module
from pool_core.errors import PluginError

__all__ = ["PluginClass", "PluginConfig", "RecipePath"]


class PluginConfig(BaseModel):
    """Base of every plugin's configuration: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _resolve_path(path: Path, info: ValidationInfo) -> Path:
    """Paths in a recipe are relative to the recipe's folder, those given from Python to the current one."""
    folder = (info.context or {}).get("folder")
    return Path(folder) / path if folder else path


#: A path in a plugin's configuration. Absolute, or relative to the folder of the recipe.
RecipePath = Annotated[Path, AfterValidator(_resolve_path)]


def _load_class(value: Any, info: ValidationInfo) -> Any:
    """The class that a recipe names. Who validates says how it is imported; outside of a recipe nothing is."""
    if not isinstance(value, str):
        return value
    load = (info.context or {}).get("load_class")
    if load is None:
        raise ValueError("only a recipe names a class by text; give the class itself")
    try:
        return load(value)
    except PluginError as error:
        raise ValueError(f"{error.message}; {error.hint}") from None


def _name_class(value: type[BaseModel]) -> str:
    return f"{value.__module__}:{value.__qualname__}"


#: A pydantic model in a plugin's configuration. A recipe names it ``package.module:Class``, and it must be of a
#: package of an active plugin: a recipe may import what it may use anyway, and nothing else. Python gives the class.
PluginClass = Annotated[
    type[BaseModel],
    BeforeValidator(_load_class),
    PlainSerializer(_name_class, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^[\w.]+:\w+$"}),
]
