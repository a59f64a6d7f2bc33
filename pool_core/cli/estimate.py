"""``pool estimate``: the tokens, the money and the time that a run would take. Sends nothing."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

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

__all__ = ["estimate"]


def estimate(
    recipe: RecipeArgument,
    run_dir: RunDirOption = None,
    rows: RowsOption = None,
    json: JsonOption = False,
    plugins: PluginsOption = None,
    block: BlockOption = None,
) -> None:
    """Estimate the tokens, the money and the time of a run. Makes every prompt and sends none."""
    from pool_core.job import choose_run_dir, refuse_incompatible
    from pool_core.report.estimate import estimate_run
    from pool_core.report.estimate_table import print_estimate

    loaded, source, registry = load_recipe_and_registry(recipe, plugins, block)
    plan = plan_recipe(override_files(loaded, rows, None), registry, source)
    refuse_incompatible(plan)
    folder = run_dir or choose_run_dir(recipe)
    with redirect_stdout(sys.stderr), show_rows(make_console(stderr=True)) as watch:  # for what plugins print
        estimated = estimate_run(plan, folder, watch=watch)
    if json:
        print_json(estimated.to_dict())
    else:
        print_estimate(make_console(), estimated, folder)
