"""``pool plan``: what a run would reuse, read again, ask and drop, and why. Sends and writes nothing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

from pool_core.cli.options import (
    BlockOption,
    JsonOption,
    PluginsOption,
    RecipeArgument,
    RowsOption,
    RunDirOption,
    load_recipe_and_registry,
    make_console,
    override_files,
    plan_recipe,
    print_json,
    show_rows,
)

__all__ = ["plan", "print_plan"]


def plan(
    recipe: RecipeArgument,
    run_dir: RunDirOption = None,
    rows: RowsOption = None,
    json: JsonOption = False,
    plugins: PluginsOption = None,
    block: BlockOption = None,
) -> None:
    """Say what `pool run` would reuse, read again, ask and drop, why, and what it would cost."""
    print_plan(recipe, run_dir, rows, None, json=json, plugins=plugins, block=block)


def print_plan(
    recipe: Path,
    run_dir: Path | None,
    rows: Path | None,
    output: Path | None,
    *,
    json: bool,
    plugins: str | None,
    block: Sequence[str] | None,
    locked: bool = False,
) -> None:
    """Print what a run with these options would do."""
    from pool_core.job import choose_run_dir, refuse_incompatible
    from pool_core.report.preview import preview_run
    from pool_core.report.preview_table import print_preview

    loaded, source, registry = load_recipe_and_registry(recipe, plugins, block, locked=locked, run_dir=run_dir)
    made = plan_recipe(override_files(loaded, rows, output), registry, source)
    refuse_incompatible(made)
    folder = run_dir or choose_run_dir(recipe)
    with redirect_stdout(sys.stderr), show_rows(make_console(stderr=True)) as watch:  # for what plugins print
        preview = preview_run(made, folder, watch=watch)
    if json:
        print_json(preview.to_dict())
    else:
        print_preview(make_console(), preview, folder)
