"""The environment that templates are compiled and rendered in.

Jinja's own sandbox decides by deny-lists what is unsafe. This one allows by name: the kinds of
nodes, the filters and tests, the methods of each plain type, and nothing of any other object.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NoReturn

from jinja2 import StrictUndefined, Undefined, pass_context
from jinja2.exceptions import TemplateSyntaxError
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pool_core.templates._filters import FILTERS
from pool_core.templates._limits import MAX_RANGE, MAX_TOKENS, STEP, SandboxError, foreign_error, spend, to_text
from pool_core.templates._methods import LOOP_VALUES, METHODS, Method
from pool_core.templates._operations import BINARY, OPERATIONS, calculate, join_buffer
from pool_core.templates._tests import TESTS

_MAX_MESSAGE: Final = 300


class _TokenLimit(Extension):
    """Stops the parser when a source has too many tokens."""

    def filter_stream(self, stream: TokenStream) -> Iterable[Token]:
        for number, token in enumerate(stream):
            if number == MAX_TOKENS:
                raise TemplateSyntaxError(f"the template has more than {MAX_TOKENS} tokens", token.lineno)
            yield token


@pass_context  # a finalizer that wants the context keeps jinja2 from evaluating anything while it compiles
def _finalize(_context: Context, value: Any) -> str:
    return to_text(value)


def _count_range(*bounds: int) -> list[int]:
    """The global ``range``."""
    numbers = range(*bounds)
    if len(numbers) > MAX_RANGE:
        raise SandboxError(f"'range' gives at most {MAX_RANGE} numbers and not {len(numbers)}")
    spend(STEP * len(numbers))
    return list(numbers)


def _raise_exception(message: str = "") -> NoReturn:
    """The global ``raise_exception`` of published chat templates."""
    raise SandboxError(f"the template says: {to_text(message)[:_MAX_MESSAGE]}")


class Sandbox(ImmutableSandboxedEnvironment):
    """Compiles rewritten templates, and answers for all that they do with values."""

    intercepted_binops = frozenset(BINARY)
    # jinja2 annotates it as the bound method that it is there
    concat = staticmethod(join_buffer)  # type: ignore[assignment]

    def __init__(self, *, chat: bool) -> None:
        super().__init__(
            undefined=StrictUndefined,
            finalize=_finalize,
            autoescape=False,
            optimized=False,
            keep_trailing_newline=True,
            trim_blocks=chat,
            lstrip_blocks=chat,
            extensions=[_TokenLimit],
        )
        self.filters = {**FILTERS, **OPERATIONS}
        self.tests = dict(TESTS)
        self.globals = {"range": _count_range}
        if chat:
            self.globals["raise_exception"] = _raise_exception

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether templates may use the attribute ``attr`` of ``obj``."""
        return attr in METHODS.get(type(obj), ()) or (type(obj) is LoopContext and attr in LOOP_VALUES)

    def is_safe_callable(self, obj: Any) -> bool:
        """Whether templates may call ``obj``."""
        return type(obj) is Method or obj is _count_range or obj is _raise_exception

    def getattr(self, obj: Any, attribute: str) -> Any:
        """What ``obj.attribute`` gives: an allowed method, a value of the loop, or the value of a key."""
        kind = type(obj)
        methods = METHODS.get(kind, {})
        if attribute in methods:
            return Method(methods[attribute], obj)
        if kind is dict:
            return self.getitem(obj, attribute)
        if kind is LoopContext and attribute in LOOP_VALUES:
            return getattr(obj, attribute)
        if isinstance(obj, Undefined):
            raise foreign_error(obj)
        raise SandboxError(
            f"{attribute!r} of {_describe(obj)} cannot be used in a template",
            f"What can: {', '.join(sorted(methods))}." if methods else "",
        )

    def getitem(self, obj: Any, argument: Any) -> Any:
        """What ``obj[argument]`` gives: the value of a key, an element, a character; never an attribute."""
        kind, key = type(obj), type(argument)
        if kind in (list, tuple, str) and key is int:
            return obj[argument] if -len(obj) <= argument < len(obj) else self.undefined(obj=obj, name=argument)
        if kind is dict and key is str:
            return obj[argument] if argument in obj else self.undefined(obj=obj, name=argument)
        for value in (obj, argument):
            if isinstance(value, Undefined):
                raise foreign_error(value)
        raise SandboxError(f"{_describe(obj)} cannot be indexed with {_describe(argument)}")

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """What ``left operator right`` gives."""
        return calculate(operator, left, right)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """What ``obj(...)`` gives. jinja2 adds arguments for functions that take the context; none here does."""
        if isinstance(obj, Undefined):
            raise foreign_error(obj)
        if not self.is_safe_callable(obj):
            raise SandboxError(f"{_describe(obj)} cannot be called in a template")
        kwargs.pop("_loop_vars", None)
        kwargs.pop("_block_vars", None)
        return obj(*args, **kwargs)


def _describe(value: Any) -> str:
    return "the loop" if type(value) is LoopContext else type(value).__name__


#: For prompts: whitespace stays as it is written.
PROMPTS: Final = Sandbox(chat=False)
#: For chat templates as models publish them: blocks take their own line away.
CHATS: Final = Sandbox(chat=True)
