"""Every check of a plan: the recipe's policies, the plan's own rules, the plugins' hook."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from pool_core.interfaces.policy import MemberSignature, Policy, check_findings, note_slowness
from pool_core.interfaces.types import FieldType
from pool_core.interfaces.values import Finding
from pool_core.plan.assign import MOST_SAMPLES
from pool_core.plan.model import PlannedMember
from pool_core.plan.reserved import check_reserved
from pool_core.plan.rows import SAMPLE_SIZE
from pool_core.recipe.models import Output, PoolSpec
from pool_core.watchdog import CallStoppedError, Watchdog, describe_error

__all__ = [
    "GENERATION_FIELDS",
    "check_output",
    "check_pool",
    "is_same_file",
    "list_taken",
    "run_policies",
]

#: What every generation carries beside the pool's own fields; ``raw`` where the recipe asks for it.
GENERATION_FIELDS = ("member", "model", "task", "sample", "status", "cause", "message", "usage", "answered_by", "raw")


def run_policies(
    policies: Sequence[tuple[Policy, str]],  # type: ignore[type-arg]
    signatures: Sequence[MemberSignature],
    watchdog: Watchdog,
) -> Iterator[Finding]:
    """What each policy says. One that breaks, or does not end, is an error finding: it never lets a plan pass."""
    ordered = tuple(sorted(signatures, key=lambda signature: signature.name))
    for policy, name in policies:
        started = perf_counter()
        try:
            found = watchdog.run(partial(_judge, policy, ordered), f"the policy {name!r}")
        except CallStoppedError as error:
            found = [_report_broken(name, str(error))]
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - fails closed, and names the policy
            found = [_report_broken(name, f"failed: {describe_error(error)}")]
        yield from (finding if finding.source else replace(finding, source=name) for finding in found)
        yield from note_slowness(f"the policy {name!r}", name, perf_counter() - started)


def _judge(policy: Policy[Any], members: Sequence[MemberSignature]) -> list[Finding]:
    return check_findings(policy.judge(members))


def _report_broken(name: str, what: str) -> Finding:
    return Finding(
        "error",
        "policy-failed",
        f"the policy {name!r} {what}",
        hint="report it to the policy's authors, or take it out of `policies:`",
    )


def check_pool(
    pool: PoolSpec,
    members: Sequence[PlannedMember],
    columns: Mapping[str, FieldType] | None,
    *,
    complete: bool = True,
) -> Iterator[Finding]:
    """Whether samples can be assigned as the recipe asks.

    Args:
        complete: whether ``columns`` are those of all rows.
    """
    total = len(members) if pool.samples is None else pool.samples
    if pool.assign == "all" and total % len(members):
        lower = total - total % len(members)
        yield Finding(
            "error",
            "samples-uneven",
            f"{total} samples cannot be shared by {len(members)} members alike, which `assign: all` asks for",
            hint=f"write `samples: {lower or len(members)}`, or `assign: balanced`",
        )
    match pool.assign:
        case "all" | "balanced":
            most = -(-total // len(members))
        case "weighted":
            most = total
        case "routed":
            most = 1 if pool.samples is None else total
    if most > MOST_SAMPLES:
        yield Finding(
            "error",
            "samples-many",
            f"one member may have to give {most} samples for a row; {MOST_SAMPLES} is the most",
            hint="lower `samples`",
        )
    for member in members:
        if member.when is None:
            continue
        if pool.assign != "routed":
            yield Finding(
                "warning",
                "when-unused",
                f"{member.name} has a `when`, which acts with `assign: routed` alone, not with `assign: {pool.assign}`",
                (member.name,),
                hint="write `assign: routed`, or remove `when`",
            )
            continue
        unknown = [name for name in member.when.names if columns is not None and name not in columns]
        if unknown:
            yield Finding(
                "error" if complete else "warning",
                "when-column",
                f"{member.name}'s `when` reads {', '.join(map(repr, unknown))}, which "
                + ("no row has" if complete else f"none of the first {SAMPLE_SIZE} rows has"),
                (member.name,),
                hint=f"the columns are {', '.join(columns or ())}"
                + ("" if complete else "; a cell whose row lacks one that is read fails with the cause `render`"),
                key="when",
            )


def list_taken(output: Output, schema: Iterable[str]) -> frozenset[str]:
    """The names that the output's layout writes itself, which no column of the rows may have."""
    match output.layout:
        case "nested":
            return frozenset({"generations"})
        case "long":
            return frozenset()
        case "columns":
            return frozenset({*GENERATION_FIELDS, *schema} - ({"raw"} - {*schema} if not output.raw else set()))


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, be it there or not yet."""
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    return one.exists() and other.exists() and one.samefile(other)


def check_output(
    output: Output | None,
    signatures: Sequence[MemberSignature],
    columns: Mapping[str, FieldType] | None,
    folder: Path,
    inputs: Mapping[str, Path],
) -> Iterator[Finding]:
    """Whether the merged file has one meaning for every name, and a place of its own.

    Args:
        folder: where the output's relative path starts from.
        inputs: the files that must stay, by what messages call them.
    """
    yield from check_reserved(signatures, {"row_id", *GENERATION_FIELDS})
    if output is None:
        return
    for name, path in inputs.items():
        if is_same_file(folder / output.path, path):
            yield Finding(
                "error",
                "output-taken",
                f"the output {str(output.path)!r} is the {name} file itself, which would be lost",
                hint="give the output another name",
            )
    fields = {name for member in signatures for name in member.outputs}
    for name in sorted(list_taken(output, fields) & set(columns or ())):
        yield Finding(
            "error",
            "column-taken",
            f"the rows have a column {name!r}, which the layout {output.layout!r} writes itself",
            field=name,
            hint="rename the column, or choose another layout",
        )
