"""``pool repair``: check a run's file, and build it anew where it is damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pool_core.cli.options import JsonOption, RunArgument, make_console, print_json

if TYPE_CHECKING:
    from pool_core.store.repair import Repair

__all__ = ["repair"]


def repair(
    run: RunArgument,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check; exit code 3 where something is damaged.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Check every page and record of a run. A damaged file is built anew of what is intact, and is kept."""
    from pool_core.store.repair import repair_run

    found = repair_run(run, dry_run=dry_run)
    if json:
        print_json(_describe(found))
    else:
        _print(found)
    raise typer.Exit(3 if dry_run and not found.sound else 0)


def _describe(found: Repair) -> dict[str, Any]:
    return {
        "version": 1,
        "sound": found.sound,
        "problems": list(found.problems),
        "intact": dict(found.intact),
        "damaged": dict(found.damaged),
        "salvaged": found.salvaged,
        "orphans": found.orphans,
        "quarantine": str(found.quarantine) if found.quarantine else None,
    }


def _print(found: Repair) -> None:
    from pool_core.report.drawing import print_whole
    from pool_core.report.lines import count, indent_rest

    console = make_console()
    for problem in found.problems:
        print_whole(console, f"damaged: {indent_rest(problem, 1000)}", "red")
    for table in ("rows", "members", "bases", "answers", "withdrawn", "cells", "meta"):
        bad = found.damaged.get(table, 0)
        line = f"{table}: {found.intact.get(table, 0):,} intact" + (f", {bad:,} damaged" if bad else "")
        print_whole(console, line, "red" if bad else "")
    if found.sound:
        print_whole(console, "sound: nothing is damaged", "green")
        return
    if found.quarantine is None:
        print_whole(console, "damaged: `pool repair` without --dry-run builds the file anew of what is intact", "red")
        return
    if found.salvaged:
        print_whole(console, f"{count(found.salvaged, 'more answer')} read from raw pages")
    if found.orphans:
        print_whole(console, f"{count(found.orphans, 'cell')} given up whose row or member is lost")
    print_whole(console, "repaired: run the recipe again; what was lost is made of the stored answers where it can be")
    print_whole(console, f"the damaged file is kept: {found.quarantine}")
