"""``pool export``: write a run's merged file, at any time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pool_core.cli.options import BlockOption, JsonOption, PluginsOption, RunArgument, make_registry, print_json

if TYPE_CHECKING:
    from pool_core.recipe.models import Output

__all__ = ["export"]


def export(
    run: RunArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The file; its ending chooses the format. By default the recipe's.",
            show_default=False,
        ),
    ] = None,
    layout: Annotated[
        str | None, typer.Option("--layout", metavar="LAYOUT", help="nested, columns or long.", show_default=False)
    ] = None,
    raw: Annotated[
        bool | None, typer.Option("--raw/--no-raw", help="Add the model's text as it came.", show_default=False)
    ] = None,
    json: JsonOption = False,
    plugins: PluginsOption = None,
    block: BlockOption = None,
) -> None:
    """Write the merged file of a run, finished or not. A run that is going on is not disturbed."""
    from pool_core import job
    from pool_core.data.records import read_run_info
    from pool_core.report.lines import count
    from pool_core.store.store import Store

    _check_layout(layout)
    with Store.read(run) as store:
        wanted = _choose_output(read_run_info(store).output, output, layout, raw)
        path, written = job.export(store, make_registry(plugins, block), wanted, Path.cwd())
        damaged = len(store.damaged)
    if json:
        print_json({"version": 1, "output": str(path), "records": written, "damaged": damaged})
    else:
        typer.echo(f"{count(written, 'record')}: {path}")
    if damaged:
        lines = f"{count(damaged, 'damaged record')} of the store were left out: run the recipe again to mend them"
        typer.echo(f"warning: {lines}", err=True)


def _check_layout(layout: str | None) -> None:
    from typing import get_args

    from pool_core.data.layouts import Layout
    from pool_core.errors import UsageError

    known = get_args(Layout)
    if layout is not None and layout not in known:
        raise UsageError(f"there is no layout {layout!r}", where="--layout", hint=f"it may be {', '.join(known)}")


def _choose_output(kept: Mapping[str, Any], path: Path | None, layout: str | None, raw: bool | None) -> Output:
    """The output of the run's recipe, with what the command line says."""
    from pool_core.cli.options import keep_options
    from pool_core.errors import UsageError
    from pool_core.recipe.models import Output

    known = Output.model_validate(kept) if kept else None
    if path is None and known is None:
        raise UsageError("the run's recipe names no output", where="--output", hint="give a file: --output FILE")
    options = dict(kept) if path is None else {"path": path.resolve(), **keep_options(known, path)}
    options |= {name: value for name, value in (("layout", layout), ("raw", raw)) if value is not None}
    return Output.model_validate(options)
