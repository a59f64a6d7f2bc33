"""What plugins' configurations are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo

__all__ = ["PluginConfig", "RecipePath"]


class PluginConfig(BaseModel):
    """Base of every plugin's configuration: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _resolve_path(path: Path, info: ValidationInfo) -> Path:
    """Paths in a recipe are relative to the recipe's folder, those given from Python to the current one."""
    folder = (info.context or {}).get("folder")
    return Path(folder) / path if folder else path


#: A path in a plugin's configuration. Absolute, or relative to the folder of the recipe.
RecipePath = Annotated[Path, AfterValidator(_resolve_path)]
