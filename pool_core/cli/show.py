"""``pool show``: the exact request of a member for a row. Nothing is sent."""

from __future__ import annotations

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
    from pool_core.plan.model import Plan, PlannedMember

__all__ = ["show"]


def show(
    recipe: RecipeArgument,
    member: Annotated[str, typer.Argument(help="Name of the member.", show_default=False)],
    row: Annotated[str, typer.Option("--row", help="Number of the row from 1, or its id.")] = "1",
    sample: Annotated[int, typer.Option("--sample", min=0, help="Number of the sample, from 0.")] = 0,
    json: JsonOption = False,
    plugins: PluginsOption = None,
    block: BlockOption = None,
) -> None:
    """Show what a member would send for a row: messages, parameters, endpoint. Keys are redacted."""
    from pool_core.plan.build import make_plan

    loaded, source, registry = load_recipe_and_registry(recipe, plugins, block)
    plan = make_plan(loaded, registry, source)
    request = _describe_request(plan, _find_member(plan, member), row, sample)
    if json:
        print_json({"version": 1, **request})
        return
    import msgspec
    from rich.text import Text

    from pool_core.report.text import make_harmless

    console = make_console()
    console.print(Text(f"{request['member']}, row {request['row']}, sample {sample}: {request['endpoint']}", "bold"))
    for name, value in request["headers"].items():
        console.print(Text(make_harmless(f"{name}: {value}")))
    body = msgspec.json.format(msgspec.json.encode(request["body"]), indent=2).decode()
    console.print(Text(make_harmless(body)))


def _find_member(plan: Plan, name: str) -> PlannedMember:
    from pool_core.errors import UsageError

    for member in plan.members:
        if member.name == name:
            return member
    names = ", ".join(member.name for member in plan.members)
    raise UsageError(f"the recipe has no member {name!r}", where="MEMBER", hint=f"it has: {names}")


def _describe_request(plan: Plan, member: PlannedMember, wanted: str, sample: int) -> dict[str, Any]:
    from pool_core.data.identify import identify_rows
    from pool_core.errors import RecipeError, UsageError
    from pool_core.interfaces.encoding import decode_json
    from pool_core.plan.cells import collect_sampling, make_prompt

    if plan.rows is None:
        raise RecipeError("the recipe has no rows", hint="write `rows: FILE`")
    for number, row in enumerate(identify_rows(plan), start=1):
        if wanted in (row.row_id, str(number)):
            backend = member.backend.build()
            body = backend.encode(make_prompt(member, decode_json(row.data)), collect_sampling(member, sample))
            return {
                "member": member.name,
                "row": row.row_id,
                "endpoint": backend.endpoint,
                "headers": dict(backend.describe_headers()),
                "body": decode_json(body),
            }
    raise UsageError(f"there is no row {wanted!r}", where="--row", hint="give a row's number from 1, or its id")
