"""``pool new``: the files of something new."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Write the files of something new.")


@app.callback()
def _main() -> None:
    """Write the files of something new."""


@app.command("plugin")
def new_plugin(
    name: Annotated[str, typer.Argument(help="Name of the plugin, such as `haiku`.", show_default=False)],
    kind: Annotated[Literal["task", "backend", "policy", "hook"], typer.Option(help="What it offers first.")] = "task",
    into: Annotated[Path, typer.Option("--into", metavar="DIR", help="The folder to write it into.")] = Path(),
) -> None:
    """Write an installable plugin with its tests into a new folder. Nothing is overwritten."""
    from pool_core.registry.discovery import discover_records
    from pool_core.scaffold.plugin import name_plugin, write_plugin

    plugin = name_plugin(name, kind, discover_records())
    folder, files = write_plugin(plugin, into)
    typer.echo(f"{folder}: a {kind} named {plugin.name}")
    for file in files:
        typer.echo(f"  {file}")
    typer.echo(f'next: cd {folder}; pip install -e ".[test]"; pytest; pool run example/recipe.yaml')
