"""Options that several commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from pool_core.recipe.models import Recipe
    from pool_core.recipe.yaml_source import Source
    from pool_core.registry import Registry

__all__ = [
    "BlockOption",
    "JsonOption",
    "PluginsOption",
    "RecipeArgument",
    "RunArgument",
    "load_recipe_and_registry",
    "make_console",
    "make_registry",
    "print_json",
]

RecipeArgument = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.", show_default=False)]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The run directory.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
BlockOption = Annotated[
    list[str] | None,
    typer.Option(
        "--block", metavar="NAME", help="Do not load this plugin. May be given several times.", show_default=False
    ),
]
PluginsOption = Annotated[
    str | None,
    typer.Option(
        "--plugins", metavar="off|A,B", help="Load no plugins, or only these. Also: POOL_PLUGINS.", show_default=False
    ),
]


def make_registry(plugins: str | None, block: Sequence[str] | None) -> Registry:
    """The plugins that the switches admit. The switches are read before anything is loaded."""
    from pool_core.registry import Registry, Selection

    if plugins is None:
        plugins = os.environ.get("POOL_PLUGINS")
    return Registry.discover(Selection.parse(plugins, block or ()))


def load_recipe_and_registry(
    path: Path, plugins: str | None, block: Sequence[str] | None
) -> tuple[Recipe, Source, Registry]:
    """The recipe, and the plugins that it and the switches admit."""
    from pool_core.recipe.load import load_recipe

    recipe, source = load_recipe(path)
    return recipe, source, make_registry(plugins, [*(block or ()), *recipe.plugins.block])


def make_console(*, stderr: bool = False) -> Console:
    """A console that is plain where its stream is no terminal, and never cuts lines there."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr, highlight=False, soft_wrap=not stream.isatty(), width=None if stream.isatty() else 200
    )


def print_json(value: Any) -> None:
    """``value`` as indented JSON on standard output."""
    import msgspec

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode() + "\n")
