"""``pool export``: write a run's merged file, at any time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pool_core.cli.options import BlockOption, JsonOption, PluginsOption, RunArgument, make_registry, print_json

__all__ = ["export"]


def export(
    run: RunArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file; its ending chooses the format. By default the recipe's."),
    ] = None,
    layout: Annotated[str | None, typer.Option("--layout", help="nested, columns or long.")] = None,
    raw: Annotated[bool | None, typer.Option("--raw/--no-raw", help="Add the model's text as it came.")] = None,
    json: JsonOption = False,
    plugins: PluginsOption = None,
    block: BlockOption = None,
) -> None:
    """Write the merged file of a run, finished or not. A run that is going on is not disturbed."""
    from pydantic import ValidationError

    from pool_core import job
    from pool_core.data.records import read_run_info
    from pool_core.errors import UsageError
    from pool_core.recipe.locate import explain_errors
    from pool_core.recipe.models import Output
    from pool_core.store.store import Store

    with Store.read(run) as store:
        options: dict[str, Any] = dict(read_run_info(store).output)
        if output is not None:
            options = {key: value for key, value in options.items() if key in ("layout", "raw")}
            options["path"] = output.resolve()
        if not options:
            raise UsageError("the run's recipe names no output", where="--output", hint="give a file: --output FILE")
        options |= {key: value for key, value in (("layout", layout), ("raw", raw)) if value is not None}
        try:
            wanted = Output.model_validate(options)
        except ValidationError as error:
            raise explain_errors(error, Output, None) from error
        path, count = job.export(store, make_registry(plugins, block), wanted, Path.cwd())
    if json:
        print_json({"version": 1, "output": str(path), "records": count})
    else:
        typer.echo(f"{count:,} records: {path}")
