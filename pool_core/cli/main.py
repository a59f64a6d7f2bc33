"""The program ``pool``: its commands, and how errors become messages and exit codes."""

from __future__ import annotations

import atexit
import errno
import gc
import io
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

import pool_core
from pool_core.cli import check, contract, estimate, export, new, plan, plugins, repair, retry, schema, show, status
from pool_core.cli import gc as gc_command
from pool_core.cli import run as run_command

if TYPE_CHECKING:
    from pool_core.errors import PoolError

__all__ = ["app", "run"]

INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: Seconds in which an interrupted process ends.
_MOST_SECONDS = 5.0

#: Objects that may be made before Python looks for cycles among them. Its own 700 cost a short command
#: a tenth of its time: modules, classes and parsed recipes are many objects and stay.
_COLLECT_AFTER = 50_000

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
app.command("estimate")(estimate.estimate)
app.command("plan")(plan.plan)
app.command("show")(show.show)
app.command("export")(export.export)
app.command("status")(status.status)
app.command("runs")(status.runs)
app.command("retry")(retry.retry)
app.command("repair")(repair.repair)
app.command("gc")(gc_command.gc)
app.command("schema")(schema.schema)
app.add_typer(contract.app, name="contract")
app.add_typer(new.app, name="new")
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


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process with its exit code. Every error is a message."""
    if arguments is not None:
        sys.exit(_run(arguments))
    ended: list[int] = []
    atexit.register(_end_process, ended)  # the first one registered is the last one called
    gc.set_threshold(_COLLECT_AFTER)  # the process is the program's own
    for number in _SIGNALS:
        signal.signal(number, _interrupt)  # a run has handlers of its own while it asks
    ended.append(_run(sys.argv[1:]))
    _ignore_signals()  # what is left is the end, and its code must not change any more
    sys.exit(ended[0])


def _end_process(ended: list[int]) -> None:
    """End the process before the interpreter takes itself apart, when everybody else has cleaned up.

    Threads of compiled libraries, an HTTP client's for one, still run then. One that asks for the interpreter at that
    moment aborts the process: a complete run would end with a signal. It would also take a tenth of a short command.
    """
    for code in ended:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                with suppress(OSError, ValueError):  # an output that breaks was told before
                    stream.flush()
        os._exit(code)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    _ignore_signals()
    os.write(sys.stderr.fileno(), b"interrupted; what was answered is kept, and the same command goes on\n")
    # somebody's code may swallow the exception and go on; nothing here needs more than a moment to end
    end = threading.Timer(_MOST_SECONDS, os._exit, (INTERRUPTED,))
    end.daemon = True
    end.start()
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _run(arguments: Sequence[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may lack letters that a row has
    try:
        code = app(list(arguments), prog_name="pool", standalone_mode=False) or 0
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        code = _leave_quietly()
    except SystemExit as error:  # of the parser, where the reader has gone, or of a plugin: commands return
        if isinstance(error.__context__, BrokenPipeError):
            code = _leave_quietly()
        else:
            ended = RuntimeError(f"something ended the process with {error.code!r}")
            code = _explain(ended, arguments)
    except Exception as error:  # noqa: BLE001 - told to the person, with its traceback where it is a bug
        code = _explain(error, arguments)
    return code


def _leave_quietly() -> int:
    """The reader of our output has gone: what is still buffered must not raise again at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _explain(error: Exception, arguments: Sequence[str]) -> int:
    """Print what is wrong, on standard error, and on standard output in the form that was asked for.

    Returns the exit code.
    """
    from pool_core.errors import PoolError
    from pool_core.report.lines import indent_rest

    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
        error = PoolError("the output cannot be written: there is no room left")
    shown = error if isinstance(error, PoolError) else _read_usage_error(error) or _report_bug(error)
    if not shown.message:
        return shown.exit_code  # a command without arguments, which has printed its help
    if "--json" in arguments:
        from pool_core.cli.options import print_json

        names = ("message", "where", "hint")
        print_json({"version": 1, "error": {name: getattr(shown, name) for name in names}})
    elif "--format=github" in arguments or ("--format", "github") in pairwise(arguments):
        from pool_core.report.annotations import write_error_annotations

        for line in write_error_annotations(shown):
            typer.echo(line)
    sys.stderr.write(f"error: {indent_rest(str(shown))}\n")
    return shown.exit_code


def _read_usage_error(error: Exception) -> PoolError | None:
    """An error of the command line's parser as one of ours.

    It is known by its method: typer brings its own copy of click, or not, by its version.
    """
    from pool_core.errors import UsageError

    write = getattr(error, "format_message", None)
    if write is None:
        return None
    context = getattr(error, "ctx", None)
    return UsageError(write(), hint=f"see `{context.command_path} --help`" if context else "")


def _report_bug(error: Exception) -> PoolError:
    """Print the traceback of what no part of the pool should raise, and say so."""
    import traceback

    from pool_core.errors import PoolError
    from pool_core.report.text import make_harmless

    sys.stderr.write(make_harmless("".join(traceback.format_exception(error))))
    return PoolError(
        f"{type(error).__name__}: {error}", where="internal error", hint="please report it with the lines above"
    )
