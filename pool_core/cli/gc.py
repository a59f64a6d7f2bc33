"""``pool gc``: give up answers that no outcome rests on, for room."""

from __future__ import annotations

from typing import Annotated

import typer

from pool_core.cli.options import JsonOption, RunArgument, print_json

__all__ = ["gc"]


def gc(
    run: RunArgument,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be freed.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also where cells are pending, which such answers may still serve.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Give up answers that no outcome rests on, such as those to an earlier prompt. What they cost stays known."""
    from pool_core.errors import UsageError
    from pool_core.report.lines import count
    from pool_core.report.state import read_state
    from pool_core.report.state_tables import write_size
    from pool_core.store.store import Store
    from pool_core.store.withdrawal import collect_garbage, find_garbage

    before = read_state(run)
    with Store.read(run) if dry_run else Store.open(run) as store:
        garbage = find_garbage(store)
        if not json:
            rest = f"{count(garbage.answers, 'answer')} that no outcome rests on, {write_size(garbage.size)}"
            typer.echo(f"{'would give up' if dry_run else 'giving up'} {rest}")
        if not dry_run:
            if (before.pending or before.state == "unfinished" or store.recovered) and not force:
                pending = f"{count(before.pending, 'cell')} pending" if before.pending else "the run is unfinished"
                raise UsageError(
                    f"{pending}: stored answers may still serve {'them' if before.pending else 'it'}",
                    where=str(run),
                    hint="finish the run first, or give --force: what is given up may have to be asked again",
                )
            collect_garbage(store)
    after = before if dry_run else read_state(run)
    if json:
        freed = {"answers": garbage.answers, "bytes": garbage.size, "size_before": before.size, "size": after.size}
        print_json({"version": 1, "dry_run": dry_run, **freed})
    elif not dry_run:
        typer.echo(f"{write_size(before.size)} before, {write_size(after.size)} now")
