"""The page on the rules of findings, made of the code that gives them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from pool_core.interfaces.contract import Change, ChangeKind
from pool_core.plan.findings import FIRM

__all__ = ["collect_rules", "make_rules_page"]

ROOT = Path(__file__).parents[1]
#: Where findings are made, by whom they are told.
_CHECKS = {
    "the core": [path for path in sorted((ROOT / "pool_core").rglob("*.py")) if "testing" not in path.parts],
    "pool-standard": sorted((ROOT / "plugins" / "pool-standard" / "pool_standard" / "policies").glob("*.py")),
}
_LEVELS = ("error", "warning", "info")


def make_rules_page() -> list[str]:
    """The page's lines."""
    lines = [
        "# Reference: rules",
        "",
        "Every rule that a finding of the core or of pool-standard can have. [Findings](findings.md) says of each why",
        "it is there and what to do. With two levels, the finding says which holds. A recipe can silence a rule, with",
        "a reason, unless it is no opinion.",
        "",
        "| rule | level | of | cannot be silenced; instead |",
        "|---|---|---|---|",
    ]
    for who in _CHECKS:
        for rule, levels in sorted(collect_rules(who).items()):
            shown = ", ".join(level for level in _LEVELS if level in levels)
            lines.append(f"| [`{rule}`](findings.md#{rule}) | {shown} | {who} | {FIRM.get(rule, '')} |")
    return lines


def collect_rules(who: str) -> dict[str, set[str]]:
    """The rules that somebody gives to ``Finding(level, rule, ...)`` and ``_error(member, rule, ...)``, with levels."""
    rules: dict[str, set[str]] = {}
    for path in _CHECKS[who]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Finding", "_error"):
                given = {keyword.arg: keyword.value for keyword in node.keywords}
                given |= dict(zip(("level", "rule"), node.args, strict=False))
                own_level = node.func.id == "_error"
                for rule, levels in _spell_rules(given["rule"]):
                    found = {"error"} if own_level else levels or set(_spell(given["level"]))
                    rules.setdefault(rule, set()).update(found & set(_LEVELS))
    return rules


def _spell_rules(node: ast.expr) -> Iterator[tuple[str, set[str]]]:
    """The rules that an expression stands for, and their levels where those follow from it."""
    match node:
        case ast.JoinedStr([ast.Constant("contract-"), ast.FormattedValue()]):
            for kind in get_args(ChangeKind):
                yield f"contract-{kind}", {"error" if Change(kind, "any", None, None).breaking else "info"}
        case ast.Name("rule"):
            pass  # passed on: its callers are looked at
        case _:
            for rule in _spell(node):
                yield rule, set()


def _spell(node: ast.expr) -> Iterator[str]:
    """The texts that an expression can be."""
    match node:
        case ast.Constant(str(value)):
            yield value
        case ast.IfExp(_, one, other):
            yield from _spell(one)
            yield from _spell(other)
        case _:
            raise ValueError(f"nobody knows what this is: {ast.unparse(node)}")
