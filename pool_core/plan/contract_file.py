"""The contract file of a pool: read, written, and held against a plan."""

from __future__ import annotations

from pathlib import Path

from pool_core.errors import RecipeError, StoreError
from pool_core.interfaces.contract import read_contract, write_contract
from pool_core.interfaces.types import FieldType
from pool_core.plan.model import Plan
from pool_core.recipe.yaml_source import read_yaml

__all__ = ["find_contract", "load_contract", "save_contract"]


def find_contract(plan: Plan) -> Path:
    """The file that the recipe's ``contract`` policy names; ``contract.yaml`` beside the recipe without one."""
    for use in plan.recipe.pool.policies:
        path = use.options.get("path")
        if use.instance is None and use.use.rpartition("/")[2] == "contract" and isinstance(path, str):
            return plan.folder / path
    return plan.folder / "contract.yaml"


def load_contract(path: Path) -> dict[str, FieldType]:
    """The schema that the contract at ``path`` fixes. Raises `RecipeError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        hint = "write it with: pool contract write RECIPE"
        raise RecipeError("there is no contract", where=str(path), hint=hint) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"the contract cannot be read: {error}", where=str(path)) from error
    data, _ = read_yaml(text, path)
    try:
        return read_contract(data)
    except ValueError as error:
        raise RecipeError(str(error), where=str(path), hint="`pool contract write` makes a right one") from error


def save_contract(plan: Plan, path: Path) -> None:
    """Write the plan's merged schema as the contract at ``path``. Raises `StoreError`."""
    try:
        path.write_text(write_contract(plan.schema), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"the contract cannot be written: {error.strerror or error}", where=str(path)) from error
