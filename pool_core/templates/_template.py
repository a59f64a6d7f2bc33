"""Templates and expressions: compiled once, rendered once per cell."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from traceback import walk_tb
from typing import Any, Final

from jinja2 import Template as JinjaTemplate
from jinja2 import TemplateError as JinjaError
from jinja2 import TemplateSyntaxError, UndefinedError, nodes
from jinja2.parser import Parser

from pool_core.errors import TemplateError
from pool_core.interfaces.paths import InputPath
from pool_core.templates._limits import BUDGET, MAX_OUTPUT, MAX_SOURCE, SandboxError, admit, weigh
from pool_core.templates._paths import find_paths
from pool_core.templates._rewrite import check, find_names, rewrite
from pool_core.templates._sandbox import CHATS, PROMPTS, Sandbox

_MAX_MESSAGE: Final = 300
_RESULT: Final = "_result"

#: What operations on plain values raise when the values do not suit them.
_VALUE_ERRORS: Final = (TypeError, ValueError, ArithmeticError, LookupError, RecursionError)


class Template:
    """A text with ``{{ name }}`` and the rest of Jinja, as far as a sandbox with limits allows it.

    Args:
        source: the template's text.
        where: what it belongs to, for messages; such as ``members.notus.task.template``.
        chat: it is a chat template as models publish them: blanks before a block and the newline
            after it are dropped, and ``raise_exception(message)`` ends the rendering.

    Raises:
        TemplateError: a mistake in the syntax, or something that templates may not use.
    """

    def __init__(self, source: str, *, where: str = "", chat: bool = False) -> None:
        self.source = source
        self._compiled = _Compiled(source, where, CHATS if chat else PROMPTS, _parse_template)
        self._chat = chat

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle has the text, which is compiled where it arrives: what is compiled holds functions."""
        return partial(type(self), where=self._compiled.where, chat=self._chat), (self.source,)

    @property
    def names(self) -> tuple[str, ...]:
        """The variables that the template needs, sorted: the columns that a row must have.

        One that stands only under ``default`` or ``is defined`` is not among them; it may be missing.
        """
        return self._compiled.names

    @property
    def paths(self) -> tuple[InputPath, ...]:
        """The places inside variables that the template needs, such as ``meta.author.name``, sorted.

        None that stands anywhere under ``default`` or ``is defined`` is among them; it may be missing.
        """
        return self._compiled.paths

    def render(self, values: Mapping[str, Any]) -> str:
        """Make the text. Only values of variables that the template has are looked at; they are plain JSON values.

        Raises:
            TemplateError: a variable is missing, what is shown is null, a value does not suit, or a limit is passed.
        """
        text = _join_pieces(self._compiled.pieces, values)
        return self._compiled.run(values, _collect) if text is None else text


class Expression:
    """One Jinja expression such as ``source == 'code'``, in the same sandbox as `Template`.

    Raises:
        TemplateError: a mistake in the syntax, or something that expressions may not use.
    """

    def __init__(self, source: str, *, where: str = "") -> None:
        self.source = source
        self._compiled = _Compiled(source, where, PROMPTS, _parse_expression)

    def __reduce__(self) -> tuple[Any, ...]:
        """As that of `Template`."""
        return partial(type(self), where=self._compiled.where), (self.source,)

    @property
    def names(self) -> tuple[str, ...]:
        """The variables that the expression needs, sorted. One only under ``default`` or ``is defined`` is not."""
        return self._compiled.names

    @property
    def paths(self) -> tuple[InputPath, ...]:
        """The places inside variables that the expression needs; see `Template.paths`."""
        return self._compiled.paths

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """Give the expression's value: a plain JSON value.

        Raises:
            TemplateError: a variable is missing, a value does not suit, or a limit is passed.
        """
        return self._compiled.run(values, _take_result)

    def test(self, values: Mapping[str, Any]) -> bool:
        """Say whether the expression holds. Raises as `evaluate` does."""
        return bool(self.evaluate(values))


class _Compiled:
    """A source that has been parsed, checked, rewritten and compiled; and its errors' places."""

    def __init__(
        self, source: str, where: str, sandbox: Sandbox, parse: Callable[[str, Sandbox], nodes.Template]
    ) -> None:
        self.where = where
        if len(source) > MAX_SOURCE:
            raise TemplateError(f"the template has more than {MAX_SOURCE} characters", where=where)
        try:
            tree = parse(source, sandbox)
            check(tree, sandbox)
            self.pieces = _read_pieces(tree, sandbox)
            self.paths = find_paths(tree, sandbox) if self.pieces is None else ()
            tree = rewrite(tree, sandbox)
            self.template: JinjaTemplate = sandbox.from_string(tree)
            self.taken, self.names = find_names(tree)
        except TemplateSyntaxError as error:
            raise TemplateError(_clip(error.message or ""), where=self._place(error.lineno)) from error
        except (RecursionError, MemoryError) as error:
            raise TemplateError("the template is nested too deeply", where=where) from error
        except SyntaxError as error:
            raise TemplateError(f"the template cannot be compiled: {_clip(error.msg)}", where=where) from error
        except (ValueError, AssertionError) as error:  # jinja2 asserts that it knows each name, and not of all it does
            raise TemplateError(f"the template cannot be compiled: {_clip(str(error))}", where=where) from error

    def run(self, values: Mapping[str, Any], finish: Callable[[JinjaTemplate, dict[str, Any]], Any]) -> Any:
        """Set up the budget and let ``finish`` render. Whatever is the template's fault is a `TemplateError`."""
        chosen = {name: values[name] for name in self.taken if name in values}
        token = None
        try:
            token = BUDGET.set(admit(chosen))
            return finish(self.template, chosen)
        except UndefinedError as error:
            message = error.message or ""
            raise self._explain(error, message, self._name_missing(message, values)) from error
        except SandboxError as error:
            raise self._explain(error, error.text, error.hint) from error
        except (JinjaError, *_VALUE_ERRORS) as error:
            raise self._explain(error, str(error), "") from error
        finally:
            if token is not None:
                BUDGET.reset(token)

    def _explain(self, error: Exception, message: str, hint: str) -> TemplateError:
        return TemplateError(_clip(message), where=self._place(self._find_line(error)), hint=hint)

    def _name_missing(self, message: str, values: Mapping[str, Any]) -> str:
        missing = [name for name in self.names if name not in values]
        if not any(message == f"{name!r} is undefined" for name in missing):
            return ""
        return _clip(f"Missing: {', '.join(missing)}. Given: {', '.join(map(str, values)) or 'nothing'}.")

    def _find_line(self, error: BaseException) -> int | None:
        line = None
        for frame, number in walk_tb(error.__traceback__):
            if frame.f_globals.get("environment") is self.template.environment:
                line = self.template.get_corresponding_lineno(number)
        return line

    def _place(self, line: int | None) -> str:
        return ", ".join(filter(None, (self.where, f"line {line}" if line else "")))


def _clip(text: str) -> str:
    return text if len(text) <= _MAX_MESSAGE else text[:_MAX_MESSAGE] + "..."


def _parse_template(source: str, sandbox: Sandbox) -> nodes.Template:
    return sandbox.parse(source)


def _parse_expression(source: str, sandbox: Sandbox) -> nodes.Template:
    parser = Parser(sandbox, source, state="variable")
    expression = parser.parse_expression()
    if not parser.stream.eos:
        raise TemplateSyntaxError("there is more after the expression's end", parser.stream.current.lineno)
    tree = nodes.Template([nodes.Assign(nodes.Name(_RESULT, "store"), expression, lineno=1)], lineno=1)
    return tree.set_environment(sandbox)  # type: ignore[return-value]


def _collect(template: JinjaTemplate, values: dict[str, Any]) -> str:
    """Render, and stop a template as soon as it has given too much."""
    size = 0
    chunks = []
    for chunk in template.root_render_func(template.new_context(values)):
        size += len(chunk)
        if size > MAX_OUTPUT:
            raise SandboxError(f"the template renders to more than {MAX_OUTPUT} characters")
        chunks.append(chunk)
    return "".join(chunks)


def _take_result(template: JinjaTemplate, values: dict[str, Any]) -> Any:
    context = template.new_context(values)
    deque(template.root_render_func(context), maxlen=0)
    result = context.vars[_RESULT]
    weigh(result)
    return result


def _read_pieces(tree: nodes.Template, sandbox: Sandbox) -> list[tuple[str, str]] | None:
    """The pieces of a template of nothing but text and plain ``{{ name }}``: ``(text, "")`` or ``("", name)``."""
    pieces = []
    for output in tree.body:
        if not isinstance(output, nodes.Output):
            return None
        for node in output.nodes:
            match node:
                case nodes.TemplateData(data=data):
                    pieces.append((data, ""))
                case nodes.Name(name=name) if name not in sandbox.globals:
                    pieces.append(("", name))
                case _:
                    return None
    return pieces


def _join_pieces(pieces: list[tuple[str, str]] | None, values: Mapping[str, Any]) -> str | None:
    """Render without Jinja; None where that takes more than joining texts, or gives an error."""
    if pieces is None:
        return None
    size = 0
    texts = []
    for text, name in pieces:
        value = values.get(name) if name else text
        if type(value) is not str:
            return None
        size += len(value)
        texts.append(value)
    return "".join(texts) if size <= MAX_OUTPUT else None
