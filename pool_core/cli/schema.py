"""``pool schema``: the JSON Schema of recipes, with the installed plugins in it."""

from __future__ import annotations

import typer

from pool_core.cli.options import BlockOption, PluginsOption, make_registry, print_json

__all__ = ["schema"]


def schema(plugins: PluginsOption = None, block: BlockOption = None) -> None:
    """Print a JSON Schema of recipes, for editors. It knows the configuration of every installed plugin."""
    from pool_core.plan.schema import make_recipe_schema

    document, problems = make_recipe_schema(make_registry(plugins, block))
    print_json(document)
    for problem in problems:
        typer.echo(f"left out: {problem}", err=True)
