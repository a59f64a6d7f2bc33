"""``pool contract``: what the reader of the output relies on, as a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pool_core.cli.options import (
    BlockOption,
    JsonOption,
    PluginsOption,
    RecipeArgument,
    load_recipe_and_registry,
    make_console,
    plan_recipe,
    print_json,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pool_core.interfaces.contract import Change
    from pool_core.plan.model import Plan

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="What the reader of the output relies on, as a file.")

FileOption = Annotated[
    Path | None,
    typer.Option("--file", help="The contract; by default the policy's, else contract.yaml beside the recipe."),
]


@app.command("write")
def write(
    recipe: RecipeArgument,
    file: FileOption = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a contract that says something else.")] = False,
    plugins: PluginsOption = None,
    block: BlockOption = None,
) -> None:
    """Write the merged schema of a recipe as its contract."""
    from pool_core.errors import UsageError
    from pool_core.plan.contract_file import find_contract, save_contract
    from pool_core.report.lines import count

    plan = _make_plan(recipe, plugins, block)
    path = file or find_contract(plan.recipe, plan.folder)
    changes = _compare_existing(plan, path, force=force)
    if changes and not force:
        raise UsageError(
            "the contract says something else", where=str(path), hint="look with `pool contract diff`, then add --force"
        )
    if changes == []:
        typer.echo(f"unchanged: {path} says so already")
        return
    save_contract(plan, path)
    typer.echo(f"{count(len(plan.schema), 'field')}: {path}")


def _compare_existing(plan: Plan, path: Path, *, force: bool) -> list[Change] | None:
    """How the schema differs from a contract that is there; None where there is none to keep."""
    from pool_core.errors import RecipeError

    if not path.exists():
        return None
    try:
        return _compare(plan, path)
    except RecipeError:
        if not force:
            raise
        return None


@app.command("diff")
def diff(
    recipe: RecipeArgument,
    file: FileOption = None,
    json: JsonOption = False,
    plugins: PluginsOption = None,
    block: BlockOption = None,
) -> None:
    """Show how the merged schema differs from the contract."""
    from pool_core.plan.contract_file import find_contract

    plan = _make_plan(recipe, plugins, block)
    _show(_compare(plan, file or find_contract(plan.recipe, plan.folder)), json=json)


@app.command("check")
def check(
    recipe: RecipeArgument,
    file: FileOption = None,
    json: JsonOption = False,
    plugins: PluginsOption = None,
    block: BlockOption = None,
) -> None:
    """Fail, with exit code 4, where a reader who relies on the contract would."""
    from pool_core.plan.contract_file import find_contract

    plan = _make_plan(recipe, plugins, block)
    changes = _compare(plan, file or find_contract(plan.recipe, plan.folder))
    _show(changes, json=json)
    raise typer.Exit(4 if any(change.breaking for change in changes) else 0)


def _make_plan(recipe: Path, plugins: str | None, block: list[str] | None) -> Plan:
    """The plan without policies: the schema does not depend on them, and their findings are for ``pool check``."""
    loaded, source, registry = load_recipe_and_registry(recipe, plugins, block)
    pool = loaded.pool.model_copy(update={"policies": ()})
    plan = plan_recipe(loaded.model_copy(update={"pool": pool}), registry, source)
    return replace(plan, recipe=loaded)


def _compare(plan: Plan, path: Path) -> list[Change]:
    from pool_core.interfaces.contract import compare_schemas
    from pool_core.plan.contract_file import load_contract

    return list(compare_schemas(load_contract(path), plan.schema))


def _show(changes: Sequence[Change], *, json: bool) -> None:
    if json:
        found = [
            {
                "kind": change.kind,
                "field": change.field,
                "old": None if change.old is None else str(change.old),
                "new": None if change.new is None else str(change.new),
                "breaking": change.breaking,
            }
            for change in changes
        ]
        print_json({"version": 1, "changes": found, "breaking": any(change.breaking for change in changes)})
        return
    from rich.text import Text

    from pool_core.report.lines import indent_rest

    console = make_console()
    for change in changes:
        label = "breaking" if change.breaking else "compatible"
        console.print(Text(f"{indent_rest(str(change))}  ({change.kind}, {label})", "red" if change.breaking else ""))
    if not changes:
        console.print("the merged schema is as the contract says")
