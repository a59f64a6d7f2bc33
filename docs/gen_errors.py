"""The page on errors, made of the classes of `pool_core.errors`."""

from __future__ import annotations

import inspect
import re

from gen_text import read_doc

from pool_core import errors
from pool_core.errors import BackendError, IncompatibleError, ParseError, PoolError, TemplateError

__all__ = ["list_errors", "make_errors_page"]

#: Errors that end one cell and never a run: they have no exit code of their own.
_OF_A_CELL = (BackendError, ParseError, TemplateError)


def make_errors_page() -> list[str]:
    """The page's lines."""
    lines = [
        "# Reference: errors",
        "",
        "All derive from `pool_core.PoolError` and stand in `pool_core.errors`. `message` says what is wrong, `where`",
        "names the file and line, plugin, member or row, `hint` says what to do; the text of an error has all three.",
        "The program ends with the error's exit code. Errors of one cell end that cell and never a run.",
        "",
        "| error | derives from | exit code |",
        "|---|---|---|",
    ]
    for cls in list_errors():
        code = "of one cell" if issubclass(cls, _OF_A_CELL) else cls.exit_code
        lines.append(f"| [`{cls.__name__}`](#{cls.__name__.lower()}) | {_name_base(cls)} | {code} |")
    for cls in list_errors():
        lines += ["", f"## `{cls.__name__}`", "", read_doc(cls)]
        lines += _list_attributes(cls)
        if cls is IncompatibleError:
            lines += ["", "[Findings](findings.md) has all of them."]
        if "cause" in inspect.signature(cls).parameters:
            lines += ["", "[Causes](causes.md) says what the engine does with each."]
    return lines


def list_errors() -> list[type[PoolError]]:
    """The classes, each after the one that it derives from."""
    return [value for name, value in vars(errors).items() if name in errors.__all__]


def _name_base(cls: type[PoolError]) -> str:
    base = cls.__base__
    return f"`{base.__name__}`" if base else ""


def _list_attributes(cls: type[PoolError]) -> list[str]:
    """What a class carries beside its text: the parameters of its own constructor, with the comments above them."""
    if cls is PoolError or "__init__" not in vars(cls):
        return []
    comments = dict(re.findall(r"((?:#: [^\n]+\n\s+)+)self\.(\w+) = ", inspect.getsource(cls.__init__)))
    by_name = {name: " ".join(re.findall(r"#: ([^\n]+)", text)) for text, name in comments.items()}
    lines = ["", "| attribute | meaning |", "|---|---|"]
    for name, parameter in inspect.signature(cls).parameters.items():
        if name in ("message", "where", "hint"):
            continue
        default = "" if parameter.default is inspect.Parameter.empty else f" By default `{parameter.default}`."
        meaning = by_name.get(name, "Why: the cause of the cell's failure.")
        lines.append(f"| `{name}` | {meaning}{default} |")
    return lines
