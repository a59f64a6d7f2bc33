"""``pool run``: run a recipe, or go on with it."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pool_core.cli.options import (
    BlockOption,
    JsonOption,
    PluginsOption,
    RecipeArgument,
    RowsOption,
    load_recipe_and_registry,
    make_console,
    override_files,
    plan_recipe,
    print_json,
)

if TYPE_CHECKING:
    from rich.console import Console

    from pool_core.engine.run import Engine

__all__ = ["run"]


def run(
    recipe: RecipeArgument,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            "--run-dir",
            metavar="DIR",
            help="Where the run is kept; by default runs/NAME beside the recipe.",
            show_default=False,
        ),
    ] = None,
    rows: RowsOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Another output file than the recipe's.", show_default=False
        ),
    ] = None,
    json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but errors.")] = False,
    plugins: PluginsOption = None,
    block: BlockOption = None,
) -> None:
    """Run a recipe. The same command again goes on where the run stopped and asks nothing twice."""
    import asyncio

    from pool_core.job import choose_run_dir, run_plan
    from pool_core.report.findings import print_findings
    from pool_core.report.tables import print_summary

    loaded, source, registry = load_recipe_and_registry(recipe, plugins, block)
    plan = plan_recipe(override_files(loaded, rows, output), registry, source)
    console = make_console(stderr=True)
    silent = json or quiet
    if not silent and plan.compatible and plan.findings:
        print_findings(console, plan, plan.findings)

    @asynccontextmanager
    async def watch(engine: Engine) -> AsyncIterator[None]:
        async with _stop_on_signals(engine, console), _show(engine, console, silent=silent):
            yield

    with redirect_stdout(sys.stderr):  # for what plugins print: the output is ours
        summary = asyncio.run(run_plan(plan, registry, run_dir or choose_run_dir(recipe), watch=watch))
    if json:
        print_json(summary.to_dict())
    elif not quiet:
        options = {"--run-dir": run_dir, "--rows": rows, "--output": output, "--plugins": plugins}
        print_summary(make_console(), summary, _write_command(recipe, options, block or ()))
    raise typer.Exit(summary.exit_code)


def _write_command(recipe: Path, options: Mapping[str, object], block: Iterable[str]) -> str:
    """The command that goes on with the run, to be pasted into a shell."""
    words = ["pool", "run", str(recipe)]
    for name, value in options.items():
        words += [] if value is None else [name, str(value)]
    for name in block:
        words += ["--block", name]
    return shlex.join(words)


@asynccontextmanager
async def _show(engine: Engine, console: Console, *, silent: bool) -> AsyncIterator[None]:
    if silent:
        yield
        return
    from pool_core.report.live import show_progress

    async with show_progress(console, engine.progress):
        yield


@asynccontextmanager
async def _stop_on_signals(engine: Engine, console: Console) -> AsyncIterator[None]:
    """Once: send nothing more and let what is in flight finish. Twice: stop now."""
    import asyncio

    loop = asyncio.get_running_loop()

    def stop() -> None:
        again = engine.stopped
        engine.stop()
        console.print(
            "stopping now" if again else "stopping: waiting for what is in flight; press Ctrl-C again to stop now"
        )

    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
