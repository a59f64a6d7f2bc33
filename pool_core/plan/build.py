"""Making a plan of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pool_core.errors import RecipeError, RowsError, TemplateError
from pool_core.interfaces.frozen import freeze
from pool_core.interfaces.policy import MemberSignature, merge_schema
from pool_core.interfaces.types import FieldType
from pool_core.plan.adapt import ADAPTERS, adapt_member
from pool_core.plan.asked import find_asked
from pool_core.plan.assign import make_assigner
from pool_core.plan.check_budget import check_budget
from pool_core.plan.check_inputs import check_inputs
from pool_core.plan.check_members import check_members
from pool_core.plan.findings import apply_rules, check_rules, sort_findings
from pool_core.plan.fingerprint import fingerprint_parsing, fingerprint_requests
from pool_core.plan.judge import check_output, check_pool, run_policies
from pool_core.plan.model import Plan, PlannedMember
from pool_core.plan.parts import describe_parts
from pool_core.plan.prices import find_price
from pool_core.plan.provenance import describe_plugins
from pool_core.plan.resolve import Resolver
from pool_core.plan.rows import FileRows, RowSource, merge_columns, take_sample
from pool_core.recipe.locate import locate
from pool_core.recipe.models import Limits, Member, Recipe
from pool_core.recipe.yaml_source import KeyPath, Source
from pool_core.registry import Registry
from pool_core.watchdog import Watchdog

if TYPE_CHECKING:
    from pool_core.templates import Expression

__all__ = ["make_plan"]


def make_plan(recipe: Recipe, registry: Registry, source: Source | None = None, rows: RowSource | None = None) -> Plan:
    """Resolve and judge ``recipe``. Contacts nothing; reads the first rows.

    Args:
        source: where the recipe stands, for paths and messages; None for one made in Python.
        rows: rows instead of the recipe's own.

    Raises:
        RecipeError, PluginError, RowsError: there is no plan. Incompatible members are no error
            here: see `Plan.compatible` and `Plan.findings`.
    """
    registry.freeze()
    registry.require(recipe.plugins.require)
    check_rules(recipe.pool.findings, source)
    resolver = Resolver(registry, source)
    if rows is None and recipe.rows is not None:
        rows = resolver.resolve_rows(recipe.rows)
    sample, complete = take_sample(rows) if rows is not None else ([], True)
    seen = merge_columns(sample)
    declared = (rows.read_schema() if rows is not None else None) or {}
    columns = freeze({**seen, **declared}) if rows is not None else None
    # what a file declares holds for all of it; the first rows alone do not tell what later ones have
    columns_complete = complete or (bool(declared) and seen.keys() <= declared.keys())
    if rows is not None and rows.id_column is not None and columns is not None and rows.id_column not in columns:
        raise RowsError(f"there is no column {rows.id_column!r}", where=rows.name, hint=f"it has: {', '.join(columns)}")
    pool = recipe.pool
    members = tuple(
        _plan_member(index, member, resolver, columns, columns_complete) for index, member in enumerate(pool.members)
    )
    policies = [resolver.resolve_policy(use, ("pool", "policies", number)) for number, use in enumerate(pool.policies)]
    if recipe.output is not None:
        resolver.resolve_writer(recipe.output)
    inputs = {"rows": rows.reader.path} if isinstance(rows, FileRows) else {}
    if source is not None:
        inputs["recipe"] = source.path
    folder = source.folder if source is not None else Path.cwd()
    routed = pool.assign == "routed"
    asked = find_asked(members, sample, columns or {}, declared, complete=complete, routed=routed)
    members = tuple(
        replace(member, signature=replace(member.signature, asked=its.possible))
        for member, its in zip(members, asked, strict=True)
    )
    signatures = [member.signature for member in members]
    schema = merge_schema(signatures)
    with Watchdog() as watchdog:
        findings = [
            *run_policies(policies, signatures, watchdog),
            *check_inputs(members, asked, columns or {}, declared, complete=complete, routed=routed),
            *check_members(members, asked, sample, watchdog, complete=columns_complete),
            *check_budget(recipe.budget, members),
            *check_pool(pool, members, columns, complete=columns_complete),
            *check_output(recipe.output, signatures, columns, folder, inputs),
        ]
    plan = Plan(
        recipe=recipe,
        source=source,
        members=members,
        rows=rows,
        sample=sample,
        columns=columns,
        sample_complete=complete,
        schema=schema,
        findings=sort_findings(findings),
        assign=make_assigner(
            pool.assign, pool.samples, pool.seed, [m.weight for m in members], [m.when for m in members]
        ),
        provenance=describe_plugins(registry),
    )
    if registry.implements("pool_check_compatibility"):
        with Watchdog() as watchdog:
            findings += registry.collect_findings(plan.protect(), watchdog)
    kept, silenced = apply_rules(findings, pool.findings)
    return replace(plan, findings=sort_findings(kept), silenced=sort_findings(silenced))


def _plan_member(
    index: int, member: Member, resolver: Resolver, columns: Mapping[str, FieldType] | None, columns_complete: bool
) -> PlannedMember:
    path: KeyPath = ("pool", "members", index)
    source = resolver.source
    task, task_name = resolver.resolve_task(member.task, (*path, "task"))
    backend = resolver.resolve_backend(member.backend, (*path, "backend"))
    capabilities = resolver.call(f"the backend {backend.name}", backend.describe_capabilities, (*path, "backend"))
    prompt_format = (
        resolver.resolve_prompt_format(member.prompt_format, (*path, "prompt_format")) if member.prompt_format else None
    )
    adapter = resolver.call(f"the task {task_name}", lambda: adapt_member(member, task, source, path), (*path, "task"))
    sampling: dict[str, Any] = member.sampling.collect()
    unable = [name for name, able in (("seed", capabilities.seed), ("stop", capabilities.stop)) if not able]
    ignored = tuple(name for name in unable if sampling.pop(name, None) is not None)
    # What stands under `extra` is sent as it is: only the seed beside it differs by sample.
    seed = None if "seed" in member.sampling.extra else sampling.pop("seed", None)
    if prompt_format is not None and prompt_format.stop and capabilities.stop:
        sampling.setdefault("stop", list(prompt_format.stop))
    planned = PlannedMember(
        index=index,
        name=member.name,
        task=task,
        task_name=task_name,
        backend=backend,
        capabilities=capabilities,
        sampling=sampling,
        seed=seed,
        limits=_choose_limits(member.limits, capabilities.limits, f"the backend {backend.name}"),
        adapter=adapter,
        prompt_format=prompt_format,
        when=_compile_when(member, source, path),
        weight=member.weight,
        signature=MemberSignature(
            name=member.name,
            task=task_name,
            task_class=type(task),
            inputs=adapter.inputs,
            outputs=adapter.outputs,
            sources=adapter.sources,
            fields=adapter.fields,
            adapters=freeze({name: value for name in ADAPTERS if (value := getattr(member, name))}),
            columns=columns,
            columns_complete=columns_complete,
        ),
        price=find_price(member.price, capabilities.offer),
        ignored=ignored,
        reask=member.reask,
        fallback=member.fallback,
        hedge=member.hedge,
        stop_when=member.stop_when,
    )
    parts = describe_parts(resolver.registry, member, task, backend, sampling, seed)
    return replace(
        planned,
        parts=parts,
        request_fingerprint=fingerprint_requests(parts),
        parse_fingerprint=fingerprint_parsing(parts),
    )


def _choose_limits(written: Limits, suiting: Mapping[str, Any], label: str) -> Limits:
    """What the recipe says, and where it does not, what suits the backend."""
    if not suiting:
        return written
    try:
        return Limits(**{**suiting, **{name: getattr(written, name) for name in written.model_fields_set}})
    except ValidationError as error:
        raise RecipeError(f"{label} names limits that are none: {error}", hint="report it to its authors") from None


def _compile_when(member: Member, source: Source | None, path: KeyPath) -> Expression | None:
    if member.when is None:
        return None
    from pool_core.templates import Expression  # noqa: PLC0415 - most recipes have no `when` to compile

    where = locate(source, (*path, "when"))
    try:
        return Expression(member.when)
    except TemplateError as error:
        raise RecipeError(error.message, where=where, hint=error.hint) from error
