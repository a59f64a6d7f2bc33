"""What a parsed template may hold, and its rewriting so that everything it does is counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from jinja2 import Environment, meta, nodes
from jinja2.exceptions import TemplateAssertionError
from jinja2.visitor import NodeTransformer

from pool_core.templates._filters import FILTERS
from pool_core.templates._limits import MAX_DEPTH, MAX_INT_BITS, MAX_NODES
from pool_core.templates._tests import TESTS

NodeT = TypeVar("NodeT", bound=nodes.Node)

_ALLOWED: Final = frozenset(
    {
        *(nodes.Template, nodes.Output, nodes.TemplateData),
        *(nodes.For, nodes.If, nodes.Assign, nodes.AssignBlock, nodes.With, nodes.FilterBlock),
        *(nodes.Name, nodes.Const, nodes.Tuple, nodes.List, nodes.Dict, nodes.Pair, nodes.Keyword),
        *(nodes.CondExpr, nodes.Filter, nodes.Test, nodes.Call, nodes.Getattr, nodes.Getitem, nodes.Slice),
        *(nodes.Concat, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos),
        *(nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow),
    }
)

#: How sources write what is not allowed, where that differs from the node's name.
_WORDS: Final[dict[type[nodes.Node], str]] = {
    nodes.FromImport: "from",
    nodes.CallBlock: "call",
    nodes.Scope: "autoescape",
    nodes.ScopedEvalContextModifier: "autoescape",
    nodes.NSRef: "namespace",
}


#: Filters and tests of a variable that may be missing.
_OPTIONAL: Final[dict[type[nodes.Node], frozenset[str]]] = {
    nodes.Filter: frozenset({"default", "d"}),
    nodes.Test: frozenset({"defined", "undefined"}),
}


def check(tree: nodes.Template, environment: Environment) -> None:
    """Refuse everything that templates may not hold.

    Raises:
        TemplateAssertionError: says what, and on which line.
    """
    count = 0
    waiting: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        count += 1
        if count > MAX_NODES:
            raise TemplateAssertionError(f"the template has more than {MAX_NODES} nodes", node.lineno)
        if depth > MAX_DEPTH:
            raise TemplateAssertionError(f"the template is nested more than {MAX_DEPTH} levels deep", node.lineno)
        problem = _find_problem(node, environment)
        if problem:
            raise TemplateAssertionError(problem, node.lineno)
        waiting.extend((child, depth + 1) for child in node.iter_child_nodes())


def _find_problem(node: nodes.Node, environment: Environment) -> str:
    kind = type(node)
    if kind not in _ALLOWED:
        return f"{_WORDS.get(kind, kind.__name__.lower())!r} cannot be used in a template"
    if isinstance(node, nodes.Call | nodes.Filter | nodes.Test):
        return _find_call_problem(node, environment)
    problem = ""
    match node:
        case nodes.For(recursive=True):
            problem = "a recursive loop cannot be used in a template"
        case nodes.Name(name="self" | "super" as name):
            problem = f"{name!r} cannot be used in a template"
        case nodes.Getattr(attr=attr) if attr.startswith("_"):
            problem = f"the attribute {attr!r} cannot be used in a template"
        case nodes.Const(value=int() | float() as value) if abs(value) >= 2**MAX_INT_BITS:
            problem = f"a number has more than {MAX_INT_BITS} bits"
    return problem


def _find_call_problem(node: nodes.Call | nodes.Filter | nodes.Test, environment: Environment) -> str:
    if node.dyn_args or node.dyn_kwargs:
        return "'*' and '**' before an argument cannot be used in a template"
    match node:
        case nodes.Filter(name=name) if name not in FILTERS:
            return f"there is no filter {name!r}; the filters are: {', '.join(sorted(FILTERS))}"
        case nodes.Test(name=name) if name not in TESTS:
            return f"there is no test {name!r}; the tests are: {', '.join(sorted(TESTS))}"
        case nodes.Call(node=called) if not _is_callable(called, environment):
            return "only methods and 'range' can be called in a template"
    return ""


def _is_callable(called: nodes.Expr, environment: Environment) -> bool:
    if isinstance(called, nodes.Name):
        return called.name in environment.globals
    return isinstance(called, nodes.Getattr)


def rewrite(tree: nodes.Template, environment: Environment) -> nodes.Template:
    """Make all that ``tree`` does with values go through the operations, which count work and name what is null."""
    rewritten: nodes.Template = _Rewriter(environment).visit(tree)
    return rewritten


def find_names(tree: nodes.Template) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The variables that ``tree`` takes, and those of them that it needs; both sorted. ``tree`` is used up.

    A variable that stands nowhere but under ``default`` or ``is defined`` is taken and not needed.
    """
    taken = meta.find_undeclared_variables(tree)
    for node in tree.find_all((nodes.Filter, nodes.Test)):
        if node.name in _OPTIONAL[type(node)] and isinstance(node.node, nodes.Name):
            node.node = nodes.Const(None, lineno=node.lineno, environment=node.environment)
    return tuple(sorted(taken)), tuple(sorted(meta.find_undeclared_variables(tree)))


def _name(node: nodes.Expr) -> str:
    """How a source writes a variable or a key of one; empty for all else."""
    match node:
        case nodes.Name(name=name):
            return str(name)
        case nodes.Getattr(node=owner, attr=attr):
            return f"{start}.{attr}" if (start := _name(owner)) else ""
    return ""


class _Rewriter(NodeTransformer):
    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self._visitors: dict[type[nodes.Node], Callable[..., nodes.Node]] = {
            nodes.Output: self._name_outputs,
            nodes.For: self._count_loop,
            nodes.Compare: self._count_comparison,
            nodes.Concat: self._count_join,
            nodes.Getitem: self._count_slice,
            nodes.Pair: self._check_key,
            nodes.CondExpr: self._fill_else,
        }

    def get_visitor(self, node: nodes.Node) -> Callable[..., nodes.Node] | None:
        return self._visitors.get(type(node))

    def _apply(self, operation: str, value: nodes.Expr, *args: nodes.Expr) -> nodes.Filter:
        """A call of an operation, in the one form in which a name of the environment can be called: a filter."""
        return self._make(nodes.Filter, value, operation, list(args), [], None, None, like=value)

    def _make(self, kind: type[NodeT], *fields: Any, like: nodes.Node) -> NodeT:
        return kind(*fields, lineno=like.lineno, environment=self.environment)

    def _name_outputs(self, node: nodes.Output) -> nodes.Node:
        names = [_name(output) for output in node.nodes]
        self.generic_visit(node)
        node.nodes = [
            self._apply("do show", output, self._make(nodes.Const, name, like=output)) if name else output
            for output, name in zip(node.nodes, names, strict=True)
        ]
        return node

    def _count_loop(self, node: nodes.For) -> nodes.Node:
        weight = 1 + sum(1 for _ in node.find_all(nodes.Node))
        self.generic_visit(node)
        items = cast("nodes.Expr", node.iter)
        node.iter = self._apply("do iterate", items, self._make(nodes.Const, weight, like=node))
        return node

    def _count_comparison(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        values = [node.expr, *(operand.expr for operand in node.ops)]
        signs = [self._make(nodes.Const, operand.op, like=node) for operand in node.ops]
        return self._apply("do compare", self._make(nodes.List, values, like=node), *signs)

    def _count_join(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return self._apply("do join", self._make(nodes.List, node.nodes, like=node))

    def _count_slice(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        if not isinstance(node.arg, nodes.Slice):
            return node
        none = self._make(nodes.Const, None, like=node)
        bounds = (node.arg.start, node.arg.stop, node.arg.step)
        return self._apply("do slice", node.node, *(bound or none for bound in bounds))

    def _check_key(self, node: nodes.Pair) -> nodes.Node:
        self.generic_visit(node)
        node.key = self._apply("do key", node.key)
        return node

    def _fill_else(self, node: nodes.CondExpr) -> nodes.Node:
        """Give ``a if b`` the empty text to be where ``b`` is false: what people mean, and undefined in Jinja."""
        self.generic_visit(node)
        if node.expr2 is None:
            node.expr2 = self._make(nodes.Const, "", like=node)
        return node
