"""When stored work still holds without looking at each cell.

A fingerprint is a shortcut and never the proof: where it is equal, a finished cell is left alone;
where it differs or is not known, the cell's request is made again and its key compared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from pool_core.interfaces.task import Task
from pool_core.plan.adapt import Adapter
from pool_core.plan.model import BackendPlan
from pool_core.recipe.models import Member, Use
from pool_core.registry import Kind, Registry

__all__ = ["fingerprint_parsing", "fingerprint_requests"]


def fingerprint_requests(
    registry: Registry,
    member: Member,
    backend: BackendPlan,
    sampling: Mapping[str, Any],
    seed: int | None,
    adapter: Adapter,
) -> str | None:
    """Changes with everything that shapes the member's requests; None where that cannot be known."""
    plugins = [
        _identify(registry, "task", member.task),
        _identify_backend(registry, backend),
        _identify(registry, "prompt_format", member.prompt_format) if member.prompt_format else "",
    ]
    return _digest(
        plugins,
        [member.task.options, _dump_backend(backend), member.prompt_format and member.prompt_format.options],
        [dict(sampling), seed, dict(adapter.inputs)],
    )


def fingerprint_parsing(registry: Registry, member: Member, task: Task[Any], adapter: Adapter) -> str | None:
    """Changes with everything that shapes how the member's answers are read."""
    return _digest(
        [_identify(registry, "task", member.task)],
        # What a task may take is in it: a cell whose answer was not read in time is read again with more.
        [member.task.options, task.parser_version, member.limits.task_timeout, member.limits.task_memory],
        [
            adapter.sources,
            {name: str(type_) for name, type_ in adapter.casts.items()},
            adapter.collected,
            adapter.constants,
        ],
        member.reask and member.reask.model_dump(mode="json"),
    )


def _digest(plugins: list[str | None], *parts: Any) -> str | None:
    if None in plugins:
        return None
    # Unlike msgspec, the standard library sorts keys that are numbers and takes lone surrogates.
    plain = msgspec.to_builtins([plugins, *parts], str_keys=True, enc_hook=str)
    return blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=16).hexdigest()


def _identify(registry: Registry, kind: Kind, use: Use) -> str | None:
    """``standard/text-generation@0.1.0``; None where the code can change under an equal version."""
    if use.instance is not None:
        return None
    entry = registry.find(kind, use.use)
    if entry.record.editable or not entry.record.version:
        return None
    return f"{entry.qualified}@{entry.record.version}"


def _identify_backend(registry: Registry, plan: BackendPlan) -> str | None:
    if plan.instance is not None:
        return None
    found = [_identify(registry, "backend", Use(use=plan.name))]
    found += [_identify_backend(registry, inner) for inner in plan.inner.values()]
    return None if None in found else "+".join(map(str, found))


def _dump_backend(plan: BackendPlan) -> Any:
    return plan.config.model_dump(mode="json") if plan.config is not None else None
