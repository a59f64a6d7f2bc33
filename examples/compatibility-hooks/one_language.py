"""A custom compatibility check: members that write code write one language.

Their fields have one name and one type, so every policy accepts Python beside Rust; a preference
data set made of both would compare what cannot be compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pool_core.api import hookimpl

if TYPE_CHECKING:
    from pool_core.interfaces.values import Finding
    from pool_core.plan.model import Plan

TASK = "standard/code-generation"


@hookimpl
def pool_check_compatibility(plan: Plan) -> Iterator[Finding]:
    """An error that names every language and its members."""
    from pool_core.interfaces.values import Finding  # noqa: PLC0415 - only paid when a plan is checked

    languages: dict[str, list[str]] = {}
    for member in sorted(plan.members, key=lambda member: member.name):
        if member.task_name == TASK:
            languages.setdefault(member.task.config.language.lower(), []).append(member.name)
    if len(languages) > 1:
        listed = "; ".join(f"{language}: {', '.join(names)}" for language, names in sorted(languages.items()))
        yield Finding(
            "error",
            "one-language",
            f"the members that write code write {len(languages)} languages: {listed}",
            tuple(sorted(name for names in languages.values() for name in names)),
            hint="set one `language` in their tasks, or make a pool for each language",
            key="task",
        )
