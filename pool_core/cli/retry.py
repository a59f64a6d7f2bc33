"""``pool retry``: ask failed cells anew, also those that have an answer."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pool_core.cli.options import BlockOption, JsonOption, PluginsOption, RowsOption, print_json
from pool_core.cli.run import run as run_recipe

if TYPE_CHECKING:
    from pool_core.store.store import Store

__all__ = ["retry"]


def retry(
    target: Annotated[
        Path, typer.Argument(metavar="RECIPE|RUN", help="The recipe, or the run directory.", show_default=False)
    ],
    member: Annotated[
        list[str] | None,
        typer.Option("--member", metavar="NAME", help="Only this member. May be given several times."),
    ] = None,
    cause: Annotated[
        list[str] | None,
        typer.Option("--cause", metavar="CAUSE", help="Only this cause, such as parse. May be given several times."),
    ] = None,
    run_dir: Annotated[
        Path | None,
        typer.Option("--run-dir", metavar="DIR", help="The run directory of the recipe, as for `pool run`."),
    ] = None,
    rows: RowsOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Another output file than the recipe's.", show_default=False
        ),
    ] = None,
    json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but errors.")] = False,
    plugins: PluginsOption = None,
    block: BlockOption = None,
) -> None:
    """Ask failed cells anew and go on with the run. `pool run` leaves those that have an answer as they are."""
    from pool_core.job import choose_run_dir
    from pool_core.store.store import Store

    recipe: Path | None = target
    if target.is_dir():
        run_dir = target
        recipe, rows, output = _find_recipe(target, rows, output)
    folder = run_dir or choose_run_dir(target)
    Store.read(folder).close()  # there must be a run: retrying makes none
    with Store.open(folder) as store:
        counted = _withdraw(store, member or (), cause or ())
    if not json and not quiet:
        _print(counted)
    if recipe is None:
        if json:
            print_json({"version": 1, "retried": _list(counted)})
        else:
            typer.echo("the run was started from Python: run it again there, and they are asked", err=True)
        return
    run_recipe(
        recipe=recipe,
        run_dir=folder,
        rows=rows,
        output=output,
        json=json,
        quiet=quiet,
        plugins=plugins,
        block=block,
    )


def _find_recipe(folder: Path, rows: Path | None, output: Path | None) -> tuple[Path | None, Path | None, Path | None]:
    """The recipe that made the run, with the files that it ran over; no recipe where Python made it."""
    import json

    from pool_core.data.records import read_run_info
    from pool_core.errors import UsageError
    from pool_core.store.store import Store

    try:
        plan = json.loads((folder / "plan.json").read_bytes())
        recipe, read = plan["recipe"], plan["rows"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            "the run does not say which recipe made it", where=str(folder), hint="give the recipe, and --run-dir"
        ) from error
    with Store.read(folder) as store:
        written = read_run_info(store).output.get("path")
    if rows is None and read is not None and Path(read).is_file():
        rows = Path(read)
    if output is None and written is not None:
        output = Path(written)
    return (Path(recipe) if recipe is not None else None), rows, output


def _withdraw(store: Store, members: list[str] | tuple[()], causes: list[str] | tuple[()]) -> Counter[tuple[str, str]]:
    from pool_core.errors import UsageError
    from pool_core.interfaces.values import Cause
    from pool_core.store.withdrawal import withdraw_failed

    known = dict(store.read_members())
    for name in members:
        if name not in known.values():
            raise UsageError(
                f"the run has no member {name!r}", where="--member", hint=f"it has: {', '.join(known.values())}"
            )
    for cause in causes:
        if cause not in list(Cause):
            raise UsageError(f"there is no cause {cause!r}", where="--cause", hint=f"it may be: {', '.join(Cause)}")
    keys = [key for key, name in known.items() if not members or name in members]
    found = withdraw_failed(store, keys, causes or list(Cause))
    return Counter({(known[key], cause): count for (key, cause), count in found.items()})


def _list(counted: Counter[tuple[str, str]]) -> list[dict[str, Any]]:
    return [{"member": name, "cause": cause, "cells": cells} for (name, cause), cells in sorted(counted.items())]


def _print(counted: Counter[tuple[str, str]]) -> None:
    from pool_core.report.lines import count
    from pool_core.report.text import make_harmless

    parts = [f"{make_harmless(name)} {number:,} {cause}" for (name, cause), number in sorted(counted.items())]
    detail = f": {', '.join(parts)}" if parts else ""
    typer.echo(f"asking anew: {count(counted.total(), 'failed cell')}{detail}", err=True)
