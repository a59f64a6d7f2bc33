"""The limits of templates, and the budget of work that one rendering draws on.

Work is counted, not timed: the same template over the same values ends in the same way on every
machine. One unit is one character built or read; one step (a value looked at, a node of a loop's
body executed) is `STEP` units, which is about what it costs in time and memory.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from jinja2 import Undefined
from jinja2.exceptions import TemplateRuntimeError, UndefinedError

#: Characters of a template's source.
MAX_SOURCE = 262_144
#: Tokens of a template's source: bounds the time that parsing takes.
MAX_TOKENS = 20_000
#: Nodes of the parsed template: bounds the time that compiling takes.
MAX_NODES = 5_000
#: Levels that the parsed template, or a value, may be nested.
MAX_DEPTH = 100
#: Characters that a template may render to.
MAX_OUTPUT = 16 * 1024 * 1024
#: Units of work that any rendering may do.
MAX_WORK = 16 * 1024 * 1024
#: Units of work that a rendering may do besides, for each unit that its values are large.
WORK_PER_INPUT = 16
#: Units that the values of one rendering may be large.
MAX_INPUT = 256 * 1024 * 1024
#: Bits of a whole number that a template calculates with.
MAX_INT_BITS = 256
#: Numbers that one ``range()`` may give.
MAX_RANGE = 100_000
#: Units of work of one step.
STEP = 32

_SCALARS = frozenset({int, float, bool, type(None)})


class SandboxError(TemplateRuntimeError):
    """A template asks for what the sandbox does not give. Becomes a `TemplateError` with its place."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.text = message
        self.hint = hint


class Budget:
    """The work that is left."""

    __slots__ = ("hint", "left", "message")

    def __init__(self, units: int, message: str, hint: str) -> None:
        self.left = units
        self.message = message
        self.hint = hint

    def spend(self, units: int) -> None:
        """Take ``units``. Raises `SandboxError` when they are not left."""
        self.left -= units
        if self.left < 0:
            raise SandboxError(self.message, self.hint)


#: The budget of the rendering that goes on.
BUDGET: ContextVar[Budget] = ContextVar("budget")


def spend(units: int) -> None:
    """Take ``units`` from the budget of the rendering that goes on."""
    BUDGET.get().spend(units)


def weigh(*values: Any) -> int:
    """Say how large plain values are, and take as much from the budget while looking at them.

    Raises:
        SandboxError: a value is no plain JSON value, nested too deeply, or larger than the budget.
    """
    budget = BUDGET.get()
    return sum(_weigh(value, budget, 0) for value in values)


def _weigh(value: Any, budget: Budget, depth: int) -> int:
    kind = type(value)
    if kind is str:
        size = STEP + len(value)
        budget.spend(size)
        return size
    budget.spend(STEP)
    if kind in _SCALARS:
        return STEP
    if depth == MAX_DEPTH:
        raise SandboxError(f"a value is nested more than {MAX_DEPTH} levels deep")
    size = STEP
    if kind is list or kind is tuple:
        for item in value:
            size += _weigh(item, budget, depth + 1)
        return size
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise SandboxError(f"a mapping has a key that is no text but of type {type(key).__name__}")
            size += _weigh(key, budget, depth + 1) + _weigh(item, budget, depth + 1)
        return size
    raise foreign_error(value)


def foreign_error(value: Any) -> TemplateRuntimeError:
    """Make the error for a value that is no plain JSON value; that of an undefined name says the name."""
    if isinstance(value, Undefined):
        return UndefinedError(value._undefined_message)  # noqa: SLF001 - jinja2 keeps what is undefined only there
    return SandboxError(
        f"a value of type {type(value).__name__} cannot be used in a template",
        "Only plain JSON values can: text, numbers, true, false, null, lists and mappings.",
    )


def admit(values: dict[str, Any]) -> Budget:
    """Look at the values of a rendering and make its budget.

    Raises:
        SandboxError: a value is no plain JSON value, or they are too large together.
    """
    entry = Budget(MAX_INPUT, "the values are too large for a template", "Shorten the row's columns.")
    size = 0
    for name, value in values.items():
        try:
            size += _weigh(value, entry, 0)
        except SandboxError as refused:
            raise SandboxError(f"{name!r}: {refused.text}", refused.hint) from None
    return Budget(
        MAX_WORK + WORK_PER_INPUT * size,
        "the template does more work than a rendering may do",
        "Loop over fewer items, and build less text on the way.",
    )


def null_error(name: str = "") -> SandboxError:
    """Make the error for null where text is wanted: the word ``None`` in a prompt is never what is meant."""
    shown = name or "value"
    return SandboxError(
        f"{name!r} is null" if name else "a value that is to become text is null",
        f"Where a gap is meant, write {{{{ {shown} or '' }}}} or {{{{ {shown}|default('', true) }}}}.",
    )


def to_text(value: Any) -> str:
    """Write a plain value the way that ``{{ value }}`` shows it.

    Raises:
        SandboxError: the value is null.
    """
    kind = type(value)
    if kind is str:
        return value  # type: ignore[no-any-return]
    if value is None:
        raise null_error()
    if kind in _SCALARS:
        return str(value)
    # an escaped character takes up to ten characters
    spend(9 * weigh(value))
    return str(value)
