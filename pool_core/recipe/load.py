"""Reading a recipe from its file."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from pool_core.errors import RecipeError
from pool_core.recipe.locate import explain_errors
from pool_core.recipe.models import Recipe
from pool_core.recipe.yaml_source import Source, read_yaml

__all__ = ["load_recipe"]


def load_recipe(path: Path) -> tuple[Recipe, Source]:
    """Read and validate the recipe at ``path``.

    Raises:
        RecipeError: the file cannot be read, or is no valid recipe; every problem with its line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        near = [str(found) for found in sorted(path.parent.glob("*.y*ml"))] if path.parent.is_dir() else []
        hint = f"recipes here: {', '.join(near[:5])}" if near else ""
        raise RecipeError("there is no such file", where=str(path), hint=hint) from error
    except IsADirectoryError as error:
        raise RecipeError("this is a folder, not a recipe", where=str(path)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"the file cannot be read: {error}", where=str(path)) from error
    data, source = read_yaml(text, path)
    if data is None:
        raise RecipeError("the recipe is empty", where=str(path), hint="it needs at least `rows:` and `pool:`")
    if not isinstance(data, dict):
        raise RecipeError("a recipe is a mapping of keys to values", where=f"{path}:1")
    try:
        return Recipe.model_validate(data), source
    except ValidationError as error:
        raise explain_errors(error, Recipe, source) from error
