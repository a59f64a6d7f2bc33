"""What a parsed template reads inside its variables: ``meta.author.name``.

Only places that a value has to have are told: one that stands under ``is defined`` or ``default`` may
be missing, wherever else in the template it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from jinja2 import Environment, nodes

from pool_core.interfaces.paths import InputPath, Step, write_steps
from pool_core.templates._methods import METHODS

Steps: TypeAlias = tuple[Step, ...]

#: Filters that give the items of a list in another order, and filters that give one of them.
_KEEPING: Final = frozenset({"list", "reverse", "sort", "unique"})
_TAKING: Final = {"first": 0, "last": -1}
#: Filters and tests that bear a value that is missing.
_BEARING: Final[dict[type[nodes.Node], frozenset[str]]] = {
    nodes.Filter: frozenset({"default", "d"}),
    nodes.Test: frozenset({"defined", "undefined", "true", "false"}),
}


def find_paths(tree: nodes.Template, environment: Environment) -> tuple[InputPath, ...]:
    """The places that ``tree`` needs inside the variables that it takes, sorted."""
    finder = _Finder(environment)
    finder.visit_all(tree.body, ())
    return finder.collect()


class _Finder:
    """Goes through a template in the order in which it is rendered and follows each name to its variable.

    ``inside`` is, of what is visited, the items of the loop that it stands in: a rendering comes to what
    is read in them for each there is. It is empty outside of loops, and None where a rendering may pass by.
    """

    def __init__(self, environment: Environment) -> None:
        #: The names that the template itself sets, and the places they stand for; None: not known.
        self._bound: dict[str, Steps | None] = dict.fromkeys(environment.globals)
        #: The places that are read, and whether certainly.
        self._read: dict[Steps, bool] = {}
        #: The places that may be missing.
        self._optional: set[Steps] = set()
        self._visitors: dict[type[nodes.Node], Callable[[Any, Steps | None], None]] = {
            nodes.If: self._visit_choice,
            nodes.CondExpr: self._visit_choice,
            nodes.And: self._visit_pair,
            nodes.Or: self._visit_pair,
            nodes.For: self._visit_loop,
            nodes.Assign: self._visit_assignment,
            nodes.AssignBlock: self._visit_block,
            nodes.With: self._visit_block,
            nodes.FilterBlock: self._visit_block,
            nodes.Filter: self._visit_guard,
            nodes.Test: self._visit_guard,
            nodes.Compare: self._visit_comparison,
            nodes.Call: self._visit_call,
            nodes.List: self._visit_collection,
            nodes.Tuple: self._visit_collection,
            nodes.Dict: self._visit_collection,
            nodes.Name: self._visit_place,
            nodes.Getattr: self._visit_place,
            nodes.Getitem: self._visit_place,
        }

    def collect(self) -> tuple[InputPath, ...]:
        """The places with a key in them, which a value may lack."""
        paths = [
            InputPath(steps, certain)
            for steps, certain in self._read.items()
            if any(isinstance(step, str) for step in steps[1:])
            and not any(steps[:end] in self._optional for end in range(1, len(steps) + 1))
        ]
        return tuple(sorted(paths, key=lambda path: write_steps(path.steps)))

    def visit_all(self, found: Iterable[nodes.Node], inside: Steps | None) -> None:
        for node in found:
            if visitor := self._visitors.get(type(node)):
                visitor(node, inside)
            else:
                self.visit_all(node.iter_child_nodes(), inside)

    def _visit_choice(self, node: nodes.If | nodes.CondExpr, inside: Steps | None) -> None:
        self.visit_all([node.test], inside)
        if isinstance(node, nodes.If):
            for branch in (node.body, node.elif_, node.else_):
                self._visit_branch(branch)
        else:
            self._visit_branch([node.expr1, *([node.expr2] if node.expr2 else [])])

    def _visit_pair(self, node: nodes.And | nodes.Or, inside: Steps | None) -> None:
        self.visit_all([node.left], inside)
        self._visit_branch([node.right])

    def _visit_branch(self, branch: Iterable[nodes.Node]) -> None:
        """What may be passed by. A name that it sets anew stands for either of two places afterwards."""
        before = dict(self._bound)
        self.visit_all(branch, None)
        unsure = {name for name in self._bound if name not in before or self._bound[name] != before[name]}
        self._bound = before | dict.fromkeys(unsure)

    def _visit_loop(self, node: nodes.For, inside: Steps | None) -> None:
        self.visit_all([node.iter], inside)
        before = dict(self._bound)
        steps = self._extend(node.iter, None)
        self._bind(node.target, steps)
        self._bound["loop"] = None
        # one list of several may be empty where the others are not
        among_others = steps is not None and any(isinstance(step, int) for step in steps)
        items = steps if steps is not None and _lies_in(steps, inside) and not among_others else None
        if node.test is not None:
            self.visit_all([node.test], items)
        self.visit_all(node.body, items if node.test is None else None)
        self._bound = before
        self._visit_branch(node.else_)

    def _visit_assignment(self, node: nodes.Assign, inside: Steps | None) -> None:
        self._visit_value(node.node, inside)
        self._bind(node.target, self._resolve(node.node))

    def _visit_block(self, node: nodes.AssignBlock | nodes.With | nodes.FilterBlock, inside: Steps | None) -> None:
        """A part with names of its own."""
        before = dict(self._bound)
        if isinstance(node, nodes.With):
            for value in node.values:
                self._visit_value(value, inside)
            for target, steps in zip(node.targets, [self._resolve(value) for value in node.values], strict=True):
                self._bind(target, steps)
        elif node.filter is not None:
            self.visit_all(node.filter.iter_child_nodes(), None)
        self.visit_all(node.body, inside)
        self._bound = before
        if isinstance(node, nodes.AssignBlock):
            self._bind(node.target, None)

    def _visit_guard(self, node: nodes.Filter | nodes.Test, inside: Steps | None) -> None:
        """With ``default`` and ``is defined`` the place itself may be missing, and what is around it may not."""
        arguments = [child for child in node.iter_child_nodes() if child is not node.node]
        self.visit_all(arguments, None)  # which of them matter is the filter's business
        if node.node is None:
            return
        steps = self._resolve(node.node)
        if node.name in _BEARING[type(node)] and steps is not None:
            self._optional.add(steps)
            self._visit_value(node.node, inside)
        else:
            self.visit_all([node.node], inside)

    def _visit_value(self, node: nodes.Node, inside: Steps | None) -> None:
        """What is taken as it is, be it there or not: only what is around it has to be there."""
        if self._resolve(node) is None:
            self.visit_all([node], inside)
        elif isinstance(node, nodes.Getattr | nodes.Getitem):
            self.visit_all([node.node], inside)

    def _visit_collection(self, node: nodes.List | nodes.Tuple | nodes.Dict, inside: Steps | None) -> None:
        """It may hold what is not there, and be used for something else."""
        self.visit_all(node.iter_child_nodes(), None)

    def _visit_comparison(self, node: nodes.Compare, inside: Steps | None) -> None:
        """``'key' in place``: the key may be missing."""
        self.visit_all(node.iter_child_nodes(), inside)
        match node.expr, node.ops:
            case nodes.Const(value=str() as key), [nodes.Operand(op="in" | "notin", expr=owner)]:
                steps = self._extend(owner, key)
                self._optional |= {steps} if steps is not None else set()

    def _visit_call(self, node: nodes.Call, inside: Steps | None) -> None:
        """What is called is a method, and no key."""
        owner = node.node.node if isinstance(node.node, nodes.Getattr) else node.node
        self.visit_all([owner], inside)
        self.visit_all([*node.args, *node.kwargs], None)

    def _visit_place(self, node: nodes.Name | nodes.Getattr | nodes.Getitem, inside: Steps | None) -> None:
        steps = self._resolve(node)
        if steps is None:
            self.visit_all(node.iter_child_nodes(), inside)
            return
        self._read[steps] = self._read.get(steps, False) or _lies_in(steps, inside)
        rest: nodes.Node | None = node
        while rest is not None and not isinstance(rest, nodes.Name):  # what stands on the way: filters' arguments
            owner = getattr(rest, "node", None)
            self.visit_all((child for child in rest.iter_child_nodes() if child is not owner), None)
            rest = owner

    def _bind(self, target: nodes.Node, steps: Steps | None) -> None:
        if isinstance(target, nodes.Name):
            self._bound[target.name] = steps
        else:  # several names share the items of a value
            self._bound.update((name.name, None) for name in target.find_all(nodes.Name))

    def _resolve(self, node: nodes.Node) -> Steps | None:
        """The place that an expression stands for, None where it makes something new of it."""
        match node:
            case nodes.Name(name=name):
                return self._bound.get(name, (name,))
            case nodes.Getattr(node=owner, attr=attr) if attr not in METHODS[dict]:
                return self._extend(owner, attr)
            case nodes.Getitem(node=owner, arg=nodes.Const(value=str() | int() as step)) if type(step) is not bool:
                return self._extend(owner, step)
            case nodes.Getitem(node=owner, arg=nodes.Neg(node=nodes.Const(value=int() as position))):
                return self._extend(owner, -position)
            case nodes.Filter(node=nodes.Expr() as owner, name=name) if name in _KEEPING:
                return self._resolve(owner)
            case nodes.Filter(node=nodes.Expr() as owner, name=name) if name in _TAKING:
                return self._extend(owner, _TAKING[name])
        return None

    def _extend(self, owner: nodes.Node, step: Step) -> Steps | None:
        steps = self._resolve(owner)
        return None if steps is None else (*steps, step)


def _lies_in(steps: Steps, place: Steps | None) -> bool:
    return place is not None and steps[: len(place)] == place
