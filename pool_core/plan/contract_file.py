"""The contract file of a pool: found, read and written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pool_core.errors import IncompatibleError, RecipeError, StoreError, UsageError
from pool_core.interfaces.contract import ContractError, read_contract, write_contract
from pool_core.interfaces.policy import expand_combination
from pool_core.interfaces.types import FieldType
from pool_core.plan.judge import is_same_file
from pool_core.plan.model import Plan
from pool_core.plan.rows import FileRows
from pool_core.recipe.models import Recipe
from pool_core.recipe.yaml_source import read_yaml

__all__ = ["find_contract", "load_contract", "save_contract"]


def find_contract(recipe: Recipe, folder: Path) -> Path:
    """The file that the recipe's ``contract`` policy names, wherever it stands; ``contract.yaml`` without one.

    Raises:
        UsageError: it names several.
    """
    policies = [{"use": use.use, **use.options} for use in recipe.pool.policies if use.instance is None]
    found = sorted({folder / path for path in _find_paths(policies)})
    if len(found) > 1:
        names = ", ".join(map(str, found))
        raise UsageError(f"the policies name {len(found)} contracts: {names}", hint="say which one: --file FILE")
    return found[0] if found else folder / "contract.yaml"


def _find_paths(value: Any) -> Iterator[str]:
    """The paths of the ``contract`` policies anywhere in a policy's configuration."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _find_paths(item)
    elif isinstance(value, Mapping):
        spec = expand_combination(value)
        use, path = spec.get("use"), spec.get("path")
        if isinstance(use, str) and use.rpartition("/")[2] == "contract" and isinstance(path, str):
            yield path
        for item in spec.values():
            yield from _find_paths(item)


def load_contract(path: Path) -> dict[str, FieldType]:
    """The schema that the contract at ``path`` fixes. Raises `RecipeError`."""
    hint = "correct it, or make it anew: pool contract write RECIPE --force"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        hint = "write it with: pool contract write RECIPE"
        raise RecipeError("there is no contract", where=str(path), hint=hint) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"the contract cannot be read: {error}", where=str(path), hint=hint) from error
    try:
        data, source = read_yaml(text, path)
    except RecipeError as error:
        raise RecipeError(error.message, where=error.where, hint=error.hint or hint) from error
    try:
        return read_contract(data)
    except ContractError as error:
        raise RecipeError(str(error), where=source.locate(error.key), hint=hint) from error


def save_contract(plan: Plan, path: Path) -> None:
    """Write the plan's merged schema as the contract at ``path``.

    Raises:
        IncompatibleError: there is none: the members' types of a field conflict.
        UsageError: the file is the recipe, its rows or its output, or no contract can hold the schema.
        StoreError: the file cannot be written.
    """
    _refuse_others(plan, path)
    _refuse_conflicts(plan, path)
    text = write_contract(plan.schema)
    try:
        read_contract(read_yaml(text, path)[0])
    except (RecipeError, ContractError) as error:
        reason = error.message if isinstance(error, RecipeError) else error
        raise UsageError(f"no contract can hold the merged schema: {reason}", where=str(path)) from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"the contract cannot be written: {error.strerror or error}", where=str(path)) from error


def _refuse_conflicts(plan: Plan, path: Path) -> None:
    for name, merged in plan.schema.items():
        given = [signature.outputs[name].kind for signature in plan.signatures if name in signature.outputs]
        if merged.kind == "any" and "any" not in given:
            raise IncompatibleError(
                f"the members' types of the output field {name!r} do not unify, so there is none to write down",
                where=str(path),
                hint="`pool check` shows the types, and what to write to make them fit",
            )


def _refuse_others(plan: Plan, path: Path) -> None:
    output = plan.recipe.output
    others = {
        "recipe": plan.source.path if plan.source else None,
        "rows": plan.rows.reader.path if isinstance(plan.rows, FileRows) else None,
        "output": plan.folder / output.path if output else None,
    }
    for name, other in others.items():
        if other is not None and is_same_file(path, other):
            hint = "give the contract another name: --file FILE"
            raise UsageError(f"the contract would take the place of the {name} file", where=str(path), hint=hint)
