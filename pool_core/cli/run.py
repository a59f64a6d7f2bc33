"""``pool run``: run a recipe, or go on with it."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from pool_core.cli.options import (
    BlockOption,
    JsonOption,
    LockedOption,
    PluginsOption,
    RecipeArgument,
    RowsOption,
    RunDirOption,
    load_recipe_and_registry,
    make_console,
    override_files,
    plan_recipe,
    print_json,
)

if TYPE_CHECKING:
    from rich.console import Console

    from pool_core.engine.run import Engine
    from pool_core.store.writer import Writer

__all__ = ["run"]

#: Most seconds for what is on its way to the disk, where the process has to end: it was paid, and a disk may be slow.
COMMIT_SECONDS = 60.0
#: The signals that stop a run, and the seconds between two looks for them.
STOPPING, LOOK_SECONDS = (signal.SIGINT, signal.SIGTERM), 0.1


def run(
    recipe: RecipeArgument,
    run_dir: RunDirOption = None,
    rows: RowsOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Another output file than the recipe's.", show_default=False
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be asked, and why, as `pool plan` does.")
    ] = False,
    json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but errors.")] = False,
    locked: LockedOption = False,
    plugins: PluginsOption = None,
    block: BlockOption = None,
) -> None:
    """Run a recipe. The same command again goes on where the run stopped and asks nothing twice."""
    from pool_core.cli.plan import print_plan
    from pool_core.engine.loop import run_in_loop
    from pool_core.job import choose_run_dir, run_plan
    from pool_core.report.findings import print_findings
    from pool_core.report.tables import print_summary

    if dry_run:
        print_plan(recipe, run_dir, rows, output, json=json, plugins=plugins, block=block, locked=locked)
        return
    loaded, source, registry = load_recipe_and_registry(recipe, plugins, block, locked=locked, run_dir=run_dir)
    plan = plan_recipe(override_files(loaded, rows, output), registry, source)
    console = make_console(stderr=True)
    silent = json or quiet
    if not silent and plan.compatible and plan.findings:
        print_findings(console, plan, plan.findings)

    writers: list[Writer] = []

    @asynccontextmanager
    async def watch(engine: Engine) -> AsyncIterator[None]:
        writers.append(engine.store.writer)
        async with _stop_on_signals(engine, console), _show(engine, console, silent=silent):
            yield

    give_up = partial(_give_up, writers)
    job = run_plan(plan, registry, run_dir or choose_run_dir(recipe), watch=watch, give_up=give_up)
    with redirect_stdout(sys.stderr):  # for what plugins print: the output is ours
        summary = run_in_loop(job)
    if json:
        print_json(summary.to_dict())
    elif not quiet:
        options = {"--run-dir": run_dir, "--rows": rows, "--output": output, "--plugins": plugins}
        print_summary(make_console(), summary, _write_command(recipe, options, block or ()))
    raise typer.Exit(summary.exit_code)


def _give_up(writers: Iterable[Writer], message: str) -> NoReturn:
    """End the process, whose main thread hangs in a plugin. Called from another thread."""
    import time

    from pool_core.errors import PluginError
    from pool_core.job import STUCK_HINT

    until = time.monotonic() + COMMIT_SECONDS
    while any(writer.pending and not writer.failed for writer in writers) and time.monotonic() < until:
        time.sleep(0.01)
    error = PluginError(message, hint=STUCK_HINT)
    text = f"error: {error}\n".encode(errors="backslashreplace")
    os.write(sys.stderr.fileno(), text)  # not by the stream, whose lock the main thread may hold
    os._exit(error.exit_code)


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

    pressed: list[int] = []

    def stop() -> None:
        again = engine.stopped
        engine.stop()
        console.print(
            "stopping now" if again else "stopping: waiting for what is in flight; press Ctrl-C again to stop now"
        )

    async def watch_signals() -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for _ in range(len(pressed)):
                pressed.pop()
                stop()

    # Not by the event loop: when it gives a signal up, the system's own answer holds for a moment and ends the process.
    before = {number: signal.signal(number, lambda number, _: pressed.append(number)) for number in STOPPING}
    watcher = asyncio.ensure_future(watch_signals())
    try:
        yield
    finally:
        watcher.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
