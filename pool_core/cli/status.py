"""``pool status`` and ``pool runs``: how runs stand. Neither disturbs a run that goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pool_core.cli.options import JsonOption, RunArgument, make_console, print_json

__all__ = ["runs", "status"]


def status(run: RunArgument, json: JsonOption = False) -> None:
    """Show how a run stands: its cells by member, what it has cost, and who works on it."""
    from pool_core.report.state import read_state

    found = read_state(run)
    if json:
        print_json(found.to_dict())
        return
    from pool_core.report.state_tables import print_state

    print_state(make_console(), found)


def runs(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that holds the run directories.")] = Path(
        "runs"
    ),
    json: JsonOption = False,
) -> None:
    """List the runs in a folder and how each stands."""
    from pool_core.report.state import find_runs

    found = find_runs(folder)
    if json:
        print_json({"version": 1, "runs": [run.to_dict() for run in found]})
        return
    from pool_core.report.state_tables import print_runs
    from pool_core.report.text import make_harmless

    if not found:
        typer.echo(f"no runs in {make_harmless(str(folder))}")
    else:
        print_runs(make_console(), found)
