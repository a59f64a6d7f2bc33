"""The page on the command line, made of the commands themselves: their signatures and docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args, get_origin

import typer
from gen_text import escape_cell, read_doc
from typer.models import ArgumentInfo, OptionInfo

from pool_core.cli.main import app

__all__ = ["list_commands", "make_cli_page"]


def make_cli_page() -> list[str]:
    """The page's lines."""
    lines = [
        "# Reference: the command line",
        "",
        "`pool --version` prints the version, `pool COMMAND --help` what stands here. Errors go to standard error and",
        "say what to do. Where a command takes `--json`, the document has a `version`, and an error is a document too.",
    ]
    for name, callback in list_commands(app):
        lines += ["", f"## `{name}`", "", read_doc(callback), "", *_make_usage(name, callback)]
    return [
        *lines,
        "",
        "## Exit codes",
        "",
        "| code | meaning |",
        "|---|---|",
        *(f"| {code} | {meaning} |" for code, meaning in _EXIT_CODES.items()),
        "",
        "[Errors](errors.md) says which error ends with which code.",
    ]


_EXIT_CODES = {
    0: "complete",
    1: "the run directory or an output cannot be used, or there is a bug",
    2: "the command, the recipe, the rows or a plugin is wrong",
    3: "partial: some cells failed or were not asked; `pool repair --dry-run`: something is damaged",
    4: "incompatible: findings of level error; nothing was asked",
    5: "stopped by a limit: the recipe's `budget` or `stop_when`; the same command goes on",
    130: "interrupted",
}


def list_commands(group: typer.Typer, prefix: str = "pool") -> Iterator[tuple[str, Callable[..., Any]]]:
    """All commands with their full names, those of groups behind their group."""
    for command in group.registered_commands:
        if command.callback is not None and not command.hidden:
            yield f"{prefix} {command.name or command.callback.__name__.replace('_', '-')}", command.callback
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            yield from list_commands(inner.typer_instance, f"{prefix} {inner.name}")


def _make_usage(name: str, callback: Callable[..., Any]) -> Iterator[str]:
    arguments, options = [], []
    for parameter in inspect.signature(callback, eval_str=True).parameters.values():
        (info,) = (item for item in parameter.annotation.__metadata__ if isinstance(item, ArgumentInfo | OptionInfo))
        row = (_spell(parameter, info), _describe(parameter, info))
        (arguments if isinstance(info, ArgumentInfo) else options).append(row)
    words = [f"[{spelt}]" if "; by default" in text else spelt for spelt, text in arguments]
    yield f"`{' '.join([name, *words, *(['[OPTIONS]'] if options else [])])}`"
    yield ""
    yield "| argument or option | meaning |"
    yield "|---|---|"
    for spelt, text in [*arguments, *options]:
        yield f"| {escape_cell(f'`{spelt}`')} | {escape_cell(text)} |"


def _spell(parameter: inspect.Parameter, info: ArgumentInfo | OptionInfo) -> str:
    if isinstance(info, ArgumentInfo):
        return info.metavar or parameter.name.upper()
    first = [info.default] if isinstance(info.default, str) else []  # where typer keeps the first of the names
    names = [*first, *(info.param_decls or ())] or [f"--{parameter.name.replace('_', '-')}"]
    type_ = parameter.annotation.__origin__
    if bool in (type_, *get_args(type_)):
        return ", ".join(names)
    value = info.metavar or "|".join(get_args(type_) if get_origin(type_) is Literal else [parameter.name.upper()])
    return f"{', '.join(names)} {value}"


def _describe(parameter: inspect.Parameter, info: ArgumentInfo | OptionInfo) -> str:
    text = (info.help or "").rstrip(".")
    default = parameter.default
    shown = default not in (inspect.Parameter.empty, None, False) and info.show_default
    return f"{text}; by default `{default}`." if shown else f"{text}."
