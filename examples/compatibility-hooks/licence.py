"""A custom compatibility check: no member whose model's licence forbids training on its outputs.

For a team that makes training data. The table is an example and no legal advice: write your own.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pool_core.api import hookimpl

if TYPE_CHECKING:
    from pool_core.interfaces.values import Finding
    from pool_core.plan.model import BackendPlan, Plan

#: The models' names as patterns: why their outputs must not train another model, None where they may.
LICENCES: dict[str, str | None] = {
    "claude-*": "the provider's terms forbid training competing models",
    "gpt-*": "the provider's terms forbid training competing models",
    "llama-2-*": "the Llama 2 licence forbids improving other language models",
    "mistral-*": None,
    "qwen2.5-*": None,
    "phi-4*": None,
}


@hookimpl
def pool_check_compatibility(plan: Plan) -> Iterator[Finding]:
    """An error for each model that is forbidden, a warning for each that nobody has looked up."""
    from pool_core.interfaces.values import Finding  # noqa: PLC0415 - only paid when a plan is checked

    members: dict[str, list[str]] = {}
    for member in plan.members:
        for model in find_models(member.backend):
            members.setdefault(model, []).append(member.name)
    for model, names in sorted(members.items()):
        who = tuple(sorted(names))
        pattern = next((known for known in LICENCES if matches(model, known)), None)
        if pattern is None:
            yield Finding(
                "warning",
                "licence-unknown",
                f"nobody has looked up whether outputs of {model!r} may be trained on",
                who,
                hint="read the model's licence and add it to the table",
                key="backend",
            )
        elif reason := LICENCES[pattern]:
            yield Finding(
                "error",
                "licence-training",
                f"outputs of {model!r} must not be trained on: {reason}",
                who,
                hint="give the member another model, or leave it out of this pool",
                key="backend",
            )


def matches(model: str, pattern: str) -> bool:
    """Whether ``model`` is one of ``pattern``; ``owner/model`` counts as ``model``."""
    return fnmatchcase(model.rpartition("/")[2].lower(), pattern)


def find_models(backend: BackendPlan) -> set[str]:
    """The models that may answer: a backend's own, or those of the backends that it wraps."""
    config = backend.config if backend.instance is None else backend.instance.config
    model = getattr(config, "model", None)
    own = {model} if isinstance(model, str) else set()
    return own.union(*(find_models(inner) for inner in backend.inner.values()))
