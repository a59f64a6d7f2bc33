"""The program ``pool``: its commands, and how errors become messages and exit codes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import pool_core
from pool_core.cli import check, export, plugins, schema, show
from pool_core.cli import run as run_command

__all__ = ["app", "run"]

app = typer.Typer(
    name="pool",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run several LLMs over the same rows, each with its own task, and merge what they say.",
    epilog="Exit codes: 0 complete, 1 internal error, 2 usage, 3 partial, 4 incompatible, 5 a limit, 130 interrupted.",
)
app.command("run")(run_command.run)
app.command("check")(check.check)
app.command("show")(show.show)
app.command("export")(export.export)
app.command("schema")(schema.schema)
app.add_typer(plugins.app, name="plugins")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pool-core {pool_core.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Options of the program itself."""


def run() -> None:
    """Run the command line. A `PoolError` is a message and its exit code; anything else is a bug of ours."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone; there is nobody to tell
        sys.exit(1)
    except Exception as error:
        from pool_core.errors import PoolError

        if not isinstance(error, PoolError):
            raise
        _print_error(error)
        sys.exit(error.exit_code)


def _print_error(error: Exception) -> None:
    from pool_core.report.text import make_harmless

    if "--json" in sys.argv:
        from pool_core.cli.options import print_json

        names = ("message", "where", "hint")
        print_json({"version": 1, "error": {name: getattr(error, name) for name in names}})
    sys.stderr.write(f"error: {make_harmless(str(error))}\n")
