"""``pool check``: does it fit together? Contacts nothing."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pool_core.cli.options import (
    BlockOption,
    JsonOption,
    LockedOption,
    PluginsOption,
    RecipeArgument,
    RowsOption,
    RunDirOption,
    load_recipe_and_registry,
    make_console,
    override_files,
    plan_recipe,
    print_json,
)

if TYPE_CHECKING:
    from pool_core.interfaces.values import Finding
    from pool_core.plan.model import Plan

__all__ = ["check", "describe_plan"]


def check(
    recipe: RecipeArgument,
    rows: RowsOption = None,
    json: JsonOption = False,
    format_: Annotated[
        Literal["text", "github"],
        typer.Option("--format", help="github: workflow commands, which GitHub shows at the recipe's lines."),
    ] = "text",
    locked: LockedOption = False,
    run_dir: RunDirOption = None,
    plugins: PluginsOption = None,
    block: BlockOption = None,
) -> None:
    """Check whether the members fit together: their fields, and every finding. Nothing is contacted."""
    from pool_core.errors import UsageError

    if json and format_ == "github":
        raise UsageError("--json and --format github exclude each other", hint="leave one of them out")
    if run_dir is not None and not locked:
        raise UsageError("--run-dir is the run that --locked compares with", hint="give --locked too")
    loaded, source, registry = load_recipe_and_registry(recipe, plugins, block, locked=locked, run_dir=run_dir)
    plan = plan_recipe(override_files(loaded, rows, None), registry, source)
    if json:
        print_json(describe_plan(plan))
    elif format_ == "github":
        from pool_core.report.annotations import write_annotations

        for line in write_annotations(plan, plan.findings):
            typer.echo(line)
    else:
        from pool_core.report.findings import print_findings, print_matrix, print_silenced
        from pool_core.report.lines import count

        console = make_console()
        print_matrix(console, plan)
        print_findings(console, plan, plan.findings)
        print_silenced(console, plan)
        if plan.compatible:
            console.print(f"compatible: {count(len(plan.members), 'member')} can share this pool")
        else:
            errors = sum(finding.level == "error" for finding in plan.findings)
            console.print(f"incompatible: {count(errors, 'error')}; nothing would be asked")
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
                    field: {"type": str(type_), "from": member.signature.sources.get(field)}
                    for field, type_ in member.signature.outputs.items()
                },
                "sampling": dict(member.sampling),
            }
            for member in plan.members
        ],
        "columns": {name: str(type_) for name, type_ in (plan.columns or {}).items()},
        "schema": {field: str(type_) for field, type_ in plan.schema.items()},
        "findings": [_describe_finding(plan, finding) for finding in plan.findings],
        "silenced": [
            {**_describe_finding(plan, finding), "reason": plan.recipe.pool.findings.silence[finding.rule]}
            for finding in plan.silenced
        ],
    }


def _describe_finding(plan: Plan, finding: Finding) -> dict[str, Any]:
    from pool_core.report.places import describe_places

    return {**asdict(finding), "places": describe_places(plan, finding)}
