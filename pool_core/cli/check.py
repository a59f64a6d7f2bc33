"""``pool check``: does it fit together? Contacts nothing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pool_core.cli.options import (
    BlockOption,
    JsonOption,
    PluginsOption,
    RecipeArgument,
    load_recipe_and_registry,
    make_console,
    print_json,
)

if TYPE_CHECKING:
    from pool_core.plan.model import Plan

__all__ = ["check", "describe_plan"]


def check(
    recipe: RecipeArgument,
    rows: Annotated[Path | None, typer.Option("--rows", help="Other input rows than the recipe's.")] = None,
    json: JsonOption = False,
    plugins: PluginsOption = None,
    block: BlockOption = None,
) -> None:
    """Check a recipe: members x fields, every finding, and a prompt of the first row for every member."""
    from pool_core.cli.run import _override
    from pool_core.plan.build import make_plan
    from pool_core.report.tables import print_findings, print_matrix

    loaded, source, registry = load_recipe_and_registry(recipe, plugins, block)
    plan = make_plan(_override(loaded, rows, None), registry, source)
    if json:
        print_json(describe_plan(plan))
    else:
        console = make_console()
        print_matrix(console, plan)
        print_findings(console, plan, plan.findings)
        if plan.compatible:
            console.print(f"compatible: {len(plan.members)} members can share this pool")
        else:
            errors = sum(finding.level == "error" for finding in plan.findings)
            console.print(f"incompatible: {errors} error{'s' if errors > 1 else ''}; nothing would be asked")
    raise typer.Exit(0 if plan.compatible else 4)


def describe_plan(plan: Plan) -> dict[str, Any]:
    """The plan as plain values. ``version`` is that of this form."""
    return {
        "version": 1,
        "compatible": plan.compatible,
        "members": [
            {
                "name": member.name,
                "task": member.task_name,
                "backend": member.backend.name,
                "inputs": dict(member.signature.inputs),
                "outputs": {
                    field: {"type": str(type_), "from": member.signature.sources[field]}
                    for field, type_ in member.signature.outputs.items()
                },
                "sampling": dict(member.sampling),
            }
            for member in plan.members
        ],
        "columns": {name: str(type_) for name, type_ in (plan.columns or {}).items()},
        "schema": {field: str(type_) for field, type_ in plan.schema.items()},
        "findings": [asdict(finding) for finding in plan.findings],
    }
