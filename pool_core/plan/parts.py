"""What shapes a member's requests and the reading of its answers, part by part, each named as recipes name it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import msgspec

import pool_core
from pool_core.interfaces.frozen import freeze
from pool_core.interfaces.task import Task
from pool_core.plan.model import BackendPlan, MemberParts, Plan
from pool_core.recipe.models import Member
from pool_core.recipe.uses import Use
from pool_core.registry import Kind, Registry

__all__ = ["DIGEST", "describe_parts", "describe_plan"]

#: What a digest begins with: texts that do not are fit to be shown.
DIGEST = "#"

_DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class _Plugin:
    """A plugin that a member uses, as ``standard/text-generation 0.1.0``."""

    text: str
    #: Whether the text changes with the code: it does not in an editable installation, or of an object.
    fixed: bool


def describe_parts(
    registry: Registry,
    member: Member,
    task: Task[Any],
    backend: BackendPlan,
    sampling: Mapping[str, Any],
    seed: int | None,
) -> MemberParts:
    """The parts of one member. What a recipe sets is there as a digest, plugins and versions as they are.

    Args:
        sampling: the parameters that are sent, without the seed.
    """
    core = {"pool-core": pool_core.__version__}
    task_plugin = _identify(registry, "task", member.task)
    task_parts = {"task": task_plugin.text, **_list_options("task", member.task.options)}
    more = task.fingerprint
    if more is None:
        task_plugin = replace(task_plugin, fixed=False)
    elif more:
        task_parts["task's files"] = _digest(more)
    request = {**core, **task_parts, **_list_options("inputs", member.inputs)}
    backends = dict(_list_backends(registry, backend, "backend"))
    for path, (plugin, config) in backends.items():
        request |= {path: plugin.text, **_list_options(path, config)}
    request |= _list_options("sampling", {**sampling, **({} if seed is None else {"seed": seed})})
    plugins = [task_plugin, *(plugin for plugin, _ in backends.values())]
    if member.prompt_format is not None:
        plugins.append(_identify(registry, "prompt_format", member.prompt_format))
        request |= {"prompt_format": plugins[-1].text}
        request |= _list_options("prompt_format", member.prompt_format.options)
    reading = {
        **core,
        **task_parts,
        "task's parser_version": str(task.parser_version),
        # what a task may take is in it: a cell whose answer was not read in time is read again with more
        **_list_options("limits", {name: getattr(member.limits, name) for name in ("task_timeout", "task_memory")}),
        **_list_options("reask", member.reask.model_dump(mode="json") if member.reask is not None else {}),
    }
    for name in ("inputs", "outputs", "cast", "constant"):
        reading |= _list_options(name, getattr(member, name))
    for name in ("drop", "collect"):
        reading |= {name: _digest(getattr(member, name))} if getattr(member, name) else {}
    return MemberParts(
        freeze(request),
        freeze(reading),
        request_known=all(plugin.fixed for plugin in plugins),
        reading_known=task_plugin.fixed,
    )


def describe_plan(plan: Plan) -> dict[str, Any]:
    """All parts of a plan as plain values, for a run to note: what the next one differs in can then be named."""
    pool = plan.recipe.pool
    cells = _list_options("pool", {"samples": pool.samples, "assign": pool.assign, "seed": pool.seed})
    members = {}
    for planned, member in zip(plan.members, pool.members, strict=True):
        assert planned.parts is not None
        members[planned.name] = {
            "requests": dict(planned.parts.request),
            "reading": dict(planned.parts.reading),
            "cells": _list_options("member", {"when": member.when, "weight": member.weight}),
        }
    return {"cells": cells, "members": members}


def _list_options(path: str, options: Mapping[str, Any]) -> dict[str, str]:
    return {f"{path}.{name}": _digest(value) for name, value in options.items()}


def _digest(value: Any) -> str:
    # Unlike msgspec, the standard library sorts keys that are numbers and takes lone surrogates.
    plain = msgspec.to_builtins(value, str_keys=True, enc_hook=str)
    digest = blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=_DIGEST_BYTES)
    return f"{DIGEST}{digest.hexdigest()}"


def _identify(registry: Registry, kind: Kind, use: Use) -> _Plugin:
    if use.instance is not None:
        return _Plugin(f"{use.use}, an object", fixed=False)
    entry = registry.find(kind, use.use)
    version = entry.record.version
    return _Plugin(f"{entry.qualified} {version}".rstrip(), fixed=bool(version) and not entry.record.editable)


def _list_backends(
    registry: Registry, plan: BackendPlan, path: str
) -> Iterator[tuple[str, tuple[_Plugin, Mapping[str, Any]]]]:
    """A backend and those that it wraps: path, plugin and the configuration without the backends in it."""
    if plan.instance is not None:
        yield path, (_Plugin(f"{plan.name}, an object", fixed=False), {})
        return
    config = plan.config.model_dump(mode="json", exclude=set(plan.inner)) if plan.config is not None else {}
    yield path, (_identify(registry, "backend", Use(use=plan.name)), config)
    for name, inner in plan.inner.items():
        yield from _list_backends(registry, inner, f"{path}.{name}")
