"""All errors that the pool raises, in one tree.

::

    PoolError                     what is wrong, where, and what to do        exit code 1
    ├── UsageError                the command line or a call is wrong         2
    │   ├── RecipeError           the recipe cannot be read or is not valid   2
    │   ├── RowsError             the input rows cannot be read               2
    │   └── PluginError           a plugin is missing, broken or ambiguous    2
    ├── IncompatibleError         the plan has findings of level error        4
    ├── StoreError                the run directory cannot be used            1
    │   └── RunLockedError        another process works on the run            1
    └── errors that a plugin raises to end one cell (never a run)
        ├── BackendError          a call failed, and its cause
        ├── ParseError            a task cannot read an answer
        └── TemplateError         a template cannot be compiled or rendered
"""

from __future__ import annotations

from typing import ClassVar

from pool_core.interfaces.values import Cause

__all__ = [
    "BackendError",
    "IncompatibleError",
    "ParseError",
    "PluginError",
    "PoolError",
    "RecipeError",
    "RowsError",
    "RunLockedError",
    "StoreError",
    "TemplateError",
    "UsageError",
]


class PoolError(Exception):
    """Base of all errors of the pool. Its text is complete: what, where, and what to do."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(message, where, hint)
        self.message = message
        #: File and line, plugin, member or row.
        self.where = where
        #: What the person can do about it.
        self.hint = hint

    def __str__(self) -> str:
        head = f"{self.where}: {self.message}" if self.where else self.message
        return f"{head}\n  {self.hint}" if self.hint else head

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.args, self.__dict__.copy()))


def _rebuild(cls: type[PoolError], args: tuple[object, ...], state: dict[str, object]) -> PoolError:
    """Make a pickled error again without calling its constructor, whose parameters may differ."""
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


class UsageError(PoolError):
    """The command line or a call is wrong. Nothing was done; call it as the hint says."""

    exit_code = 2


class RecipeError(UsageError):
    """The recipe cannot be read or is not valid.

    ``where`` is the file and the line, as in ``recipe.yaml:12``. The same models are the Python interface, where it
    names the argument.
    """


class RowsError(UsageError):
    """The input rows cannot be read: no such file, no reader for it, a broken line, an id that is there twice."""


class PluginError(UsageError):
    """A plugin is missing, broken, or a name is ambiguous.

    Also: a recipe requires one that is not installed, an optional dependency is missing (the hint has the pip line),
    or a plugin hangs in a call that cannot be ended.
    """


class IncompatibleError(PoolError):
    """The plan has findings of level error: the members do not fit together. Nothing was asked."""

    exit_code = 4


class StoreError(PoolError):
    """The run directory cannot be used: it is damaged, of a newer pool-core, read-only, or the disk is full.

    What was stored stays there. Where a command helps, such as ``pool repair``, the hint names it.
    """


class RunLockedError(StoreError):
    """Another process works on the run directory; ``where`` and the message name it. Looking at the run goes on."""


class BackendError(PoolError):
    """A call to a backend failed. The cause decides whether it is tried again.

    A backend raises it; nothing else decides what becomes of the call.
    """

    def __init__(
        self,
        cause: Cause,
        message: str,
        *,
        retry_after: float | None = None,
        stops_member: bool = False,
        maybe_billed: bool = False,
        where: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self.cause = cause
        #: Seconds that the server asked to wait, None where it did not say.
        self.retry_after = retry_after
        #: Every further call of the member would fail alike: an unknown model, a redirect.
        self.stops_member = stops_member
        #: The server has worked on the call and may bill it, though no answer came: it is sent again
        #: once at most, and counted.
        self.maybe_billed = maybe_billed


class ParseError(PoolError):
    """A task cannot read an answer. The answer was paid for and is kept; `Task.parse` raises it."""

    def __init__(self, message: str, *, cause: Cause = Cause.PARSE, where: str = "", hint: str = "") -> None:
        super().__init__(message, where=where, hint=hint)
        self.cause = cause


class TemplateError(PoolError):
    """A template or expression cannot be compiled or rendered.

    When a plan is made it is a finding, or a `RecipeError` where the template itself is wrong; when a row is at fault,
    its cell fails with the cause ``render``.
    """
