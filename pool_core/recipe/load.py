"""Reading a recipe from its file."""

from __future__ import annotations

from codecs import getincrementaldecoder
from pathlib import Path

from pydantic import ValidationError

from pool_core.errors import RecipeError
from pool_core.recipe.locate import explain_errors
from pool_core.recipe.models import Recipe
from pool_core.recipe.yaml_source import MAX_CHARACTERS, Source, read_yaml

__all__ = ["load_recipe"]

#: What is read of a file at most: no character takes more than four bytes.
_MAX_BYTES = 4 * MAX_CHARACTERS + 4


def load_recipe(path: Path) -> tuple[Recipe, Source]:
    """Read and validate the recipe at ``path``.

    Raises:
        RecipeError: the file cannot be read, or is no valid recipe; every problem with its line.
    """
    data, source = read_yaml(_read_text(path), path)
    if data is None:
        raise RecipeError("the recipe is empty", where=str(path), hint="it needs at least `rows:` and `pool:`")
    if not isinstance(data, dict):
        raise RecipeError("a recipe is a mapping of keys to values", where=source.locate(()))
    try:
        return Recipe.model_validate(data), source
    except ValidationError as error:
        raise explain_errors(error, Recipe, source) from error


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES)
    except FileNotFoundError as error:
        near = [str(found) for found in sorted(path.parent.glob("*.y*ml"))] if path.parent.is_dir() else []
        hint = f"recipes here: {', '.join(near[:5])}" if near else ""
        raise RecipeError("there is no such file", where=str(path), hint=hint) from error
    except IsADirectoryError as error:
        raise RecipeError("this is a folder, not a recipe", where=str(path)) from error
    except OSError as error:
        raise RecipeError(f"the file cannot be read: {error.strerror}", where=str(path)) from error
    try:
        return getincrementaldecoder("utf-8")().decode(data, final=len(data) < _MAX_BYTES)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RecipeError(
            f"the byte 0x{data[error.start]:02x} is no UTF-8 text",
            where=f"{path}:{line}",
            hint="save the file as UTF-8",
        ) from error
