"""``pool show``: the exact request of a member for a row. Nothing is sent."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pool_core.cli.options import (
    BlockOption,
    JsonOption,
    PluginsOption,
    RecipeArgument,
    RowsOption,
    format_json,
    load_recipe_and_registry,
    make_console,
    override_files,
    plan_recipe,
    print_json,
)

if TYPE_CHECKING:
    from pool_core.plan.model import Plan, PlannedMember
    from pool_core.store.records import NewRow

__all__ = ["show"]


def show(
    recipe: RecipeArgument,
    member: Annotated[str, typer.Argument(metavar="MEMBER", help="Name of the member.", show_default=False)],
    row: Annotated[
        str | None,
        typer.Option(
            "--row", metavar="ROW", help="The row's id, or its number from 1; by default the first.", show_default=False
        ),
    ] = None,
    sample: Annotated[int, typer.Option("--sample", min=0, help="Number of the sample, from 0.")] = 0,
    rows: RowsOption = None,
    json: JsonOption = False,
    plugins: PluginsOption = None,
    block: BlockOption = None,
) -> None:
    """Show what a member would send for a row: messages, parameters, endpoint. Keys are redacted."""

    loaded, source, registry = load_recipe_and_registry(recipe, plugins, block)
    plan = plan_recipe(override_files(loaded, rows, None), registry, source)
    with redirect_stdout(sys.stderr):  # for what plugins print: the output is ours
        request = _describe_request(_find_member(plan, member), _find_row(plan, row), sample)
    if json:
        print_json({"version": 1, **request})
        return
    from rich.text import Text

    from pool_core.report.text import make_harmless

    console = make_console()
    head = f"{request['member']}, row {request['row']!r}, sample {sample}: {request['endpoint']}"
    console.print(Text(make_harmless(head), "bold"), soft_wrap=True)
    for name, value in request["headers"].items():
        console.print(Text(make_harmless(f"{name}: {value}")), soft_wrap=True)
    console.print(Text(format_json(request["body"])), soft_wrap=True)


def _find_member(plan: Plan, name: str) -> PlannedMember:
    from pool_core.errors import UsageError

    for member in plan.members:
        if member.name == name:
            return member
    names = ", ".join(member.name for member in plan.members)
    raise UsageError(f"the recipe has no member {name!r}", where="MEMBER", hint=f"it has: {names}")


def _find_row(plan: Plan, wanted: str | None) -> NewRow:
    """The row with this id, or else with this number; the first where none is named."""
    from pool_core.data.identify import identify_rows
    from pool_core.errors import RecipeError, UsageError

    if plan.rows is None:
        raise RecipeError("the recipe has no rows", hint="write `rows: FILE`, or give --rows FILE")
    numbered = None
    for number, row in enumerate(identify_rows(plan), start=1):
        if wanted is None or row.row_id == wanted:
            return row
        if wanted == str(number):
            numbered = row
            if plan.rows.id_column is None:
                break  # ids that are made of content are no numbers
    if numbered is None:
        raise UsageError(f"there is no row {wanted!r}", where="--row", hint="give a row's id, or its number from 1")
    return numbered


def _describe_request(member: PlannedMember, row: NewRow, sample: int) -> dict[str, Any]:
    from pool_core.engine.run import build_backend
    from pool_core.errors import BackendError, TemplateError, UsageError
    from pool_core.interfaces.encoding import decode_json
    from pool_core.plan.cells import collect_sampling, make_prompt
    from pool_core.watchdog import Watchdog

    backend = build_backend(member)
    try:
        with Watchdog() as watchdog:
            prompt = make_prompt(member, decode_json(row.data), watchdog)
        body = backend.encode(prompt, collect_sampling(member, sample))
    except (TemplateError, BackendError) as error:
        where = f"{member.name}, row {row.row_id!r}"
        raise UsageError(error.message, where=where, hint=error.hint) from error
    return {
        "member": member.name,
        "row": row.row_id,
        "sample": sample,
        "endpoint": backend.endpoint,
        "headers": dict(backend.describe_headers()),
        "body": decode_json(body),
    }
