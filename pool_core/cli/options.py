"""Options that several commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from pool_core.plan.model import Plan
    from pool_core.recipe.models import Output, Recipe, Rows
    from pool_core.recipe.yaml_source import Source
    from pool_core.registry import Registry

__all__ = [
    "BlockOption",
    "JsonOption",
    "LockedOption",
    "PluginsOption",
    "RecipeArgument",
    "RowsOption",
    "RunArgument",
    "RunDirOption",
    "format_json",
    "keep_options",
    "load_recipe_and_registry",
    "make_console",
    "make_registry",
    "override_files",
    "plan_recipe",
    "print_json",
    "show_rows",
]

#: Columns of a console that is no terminal. Files and pipes have no edge.
UNLIMITED = 10_000
#: Rows between two signs of life on a terminal.
_SIGN = 1000

RecipeArgument = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.", show_default=False)]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The run directory.", show_default=False)]
RowsOption = Annotated[
    Path | None, typer.Option("--rows", metavar="FILE", help="Other input rows than the recipe's.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
LockedOption = Annotated[
    bool, typer.Option("--locked", help="Refuse other plugins than those that the run was made with.")
]
RunDirOption = Annotated[
    Path | None,
    typer.Option(
        "--run-dir",
        metavar="DIR",
        help="Where the run is kept; by default runs/NAME beside the recipe.",
        show_default=False,
    ),
]
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
    path: Path,
    plugins: str | None,
    block: Sequence[str] | None,
    *,
    locked: bool = False,
    run_dir: Path | None = None,
) -> tuple[Recipe, Source, Registry]:
    """The recipe, and the plugins that it and the switches admit: where ``locked``, those of its last run."""
    from pool_core.recipe.load import load_recipe

    recipe, source = load_recipe(path)
    registry = make_registry(plugins, [*(block or ()), *recipe.plugins.block])
    if locked:
        from pool_core.job import choose_run_dir
        from pool_core.plan.provenance import refuse_other_plugins

        refuse_other_plugins(registry, run_dir or choose_run_dir(path))
    return recipe, source, registry


def plan_recipe(recipe: Recipe, registry: Registry, source: Source) -> Plan:
    """The plan of a recipe. What plugins print while it is made goes to standard error: the output is ours."""
    from contextlib import redirect_stdout

    from pool_core.plan.build import make_plan

    with redirect_stdout(sys.stderr):
        return make_plan(recipe, registry, source)


def override_files(recipe: Recipe, rows: Path | None, output: Path | None) -> Recipe:
    """The recipe with the files of the command line, whose paths start from the current folder."""
    from pool_core.recipe.models import Output, Rows

    changes: dict[str, object] = {}
    if rows is not None:
        changes["rows"] = Rows(path=rows.resolve(), **keep_options(recipe.rows, rows))
    if output is not None:
        changes["output"] = Output(path=output.resolve(), **keep_options(recipe.output, output))
    return recipe.model_copy(update=changes)


def keep_options(spec: Rows | Output | None, path: Path) -> dict[str, Any]:
    """What the recipe says of its file and holds for ``path`` too: how to read or write it only if both end alike."""
    if spec is None:
        return {}
    options = spec.model_dump(exclude={"path"})
    if path.suffix == spec.path.suffix:
        return options
    return {name: value for name, value in options.items() if name in ("id", "layout", "raw")}


def make_console(*, stderr: bool = False) -> Console:
    """A console that is plain where its stream is no terminal, and never cuts or breaks lines there."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else UNLIMITED)


@contextmanager
def show_rows(console: Console) -> Iterator[Callable[[int], None] | None]:
    """Show how many rows were looked at, on a terminal: a million take a while."""
    if not console.is_terminal:
        yield None
        return
    with console.status("") as status:

        def show(rows: int) -> None:
            if rows % _SIGN == 0:
                status.update(f"{rows:,} rows")

        yield show


def print_json(value: Any) -> None:
    """``value`` as indented JSON on standard output."""
    sys.stdout.write(format_json(value) + "\n")


def format_json(value: Any) -> str:
    """``value`` as indented JSON in which nothing acts on a terminal, half surrogate pairs included."""
    import json

    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return "".join(c if c.isprintable() or c == "\n" else _escape(c) for c in text)


def _escape(character: str) -> str:
    """``character`` as JSON strings may spell it."""
    data = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{data[at : at + 2].hex()}" for at in range(0, len(data), 2))
