"""What members read of the columns: the types that tasks declare, and the places inside columns that templates need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from pool_core.interfaces.paths import Gap, InputPath, find_gap, write_steps
from pool_core.interfaces.types import FieldType, accepts
from pool_core.interfaces.values import Finding
from pool_core.plan.asked import AskedRows
from pool_core.plan.model import PlannedMember

__all__ = ["check_inputs"]

_LISTED_FIELDS = 30


def check_inputs(
    members: Sequence[PlannedMember],
    asked: Sequence[AskedRows],
    columns: Mapping[str, FieldType],
    declared: Mapping[str, FieldType],
    *,
    complete: bool,
    routed: bool,
) -> Iterator[Finding]:
    """Hold what each member reads against the types of the columns.

    Args:
        asked: for each member, the rows that it is asked for: its inputs are read of these alone.
        columns: every column that is known, and its type.
        declared: those of them whose type the input itself declares: no row differs from it.
        complete: whether ``columns`` come of all rows.
        routed: whether a ``when`` acts.
    """
    for member, its in zip(members, asked, strict=True):
        yield from _check_types(member, its.columns)
        settled = its.columns if complete else declared
        for key, paths in member.adapter.input_paths.items():
            # of all rows it is tried which prompts can be made; what none of them comes to is no matter
            wanted = [path for path in paths if path.certain or not complete]
            yield from _check_paths(member, wanted, member.adapter.inputs, settled, f"task.{key}")
        if routed and member.when is not None:
            settled = columns if complete else declared
            yield from _check_paths(member, member.when.paths, {name: name for name in settled}, settled, "when")


def _check_types(member: PlannedMember, columns: Mapping[str, FieldType]) -> Iterator[Finding]:
    """The columns against the types that the task declares for its inputs."""
    for name, wanted in member.adapter.input_types.items():
        column = member.adapter.inputs.get(name, name)
        found = columns.get(column)
        if found is not None and not accepts(wanted, found):
            yield Finding(
                "error",
                "input-type",
                f"{member.name} reads its input {name!r} from the column {column!r}, which holds {found}; "
                f"the task {member.task_name} needs {wanted}",
                (member.name,),
                column,
                hint="name another column, as in `inputs: {" + f"{name}: COLUMN" + "}`",
                key=f"inputs.{name}" if name in member.signature.adapters.get("inputs", {}) else "task",
            )


def _check_paths(
    member: PlannedMember,
    paths: Sequence[InputPath],
    inputs: Mapping[str, str],
    columns: Mapping[str, FieldType],
    key: str,
) -> Iterator[Finding]:
    """The places that a template needs against the types of the columns that it reads them in."""
    for path in paths:
        column = inputs.get(str(path.steps[0]))
        if column is None or column not in columns:
            continue
        gap = find_gap(columns[column], path.steps[1:])
        if gap is None:
            continue
        place = write_steps(path.steps[: gap.reached + 1]) if gap.reached else ""
        reads = f"{member.name}'s `{key.rpartition('.')[2]}` reads `{path}`"
        yield Finding(
            "error" if path.certain else "warning",
            "input-field",
            f"{reads}, but {f'`{place}`' if place else f'the column {column!r}'} {_describe(gap)}"
            + ("" if path.certain else "; a prompt that comes to it cannot be made"),
            (member.name,),
            column,
            hint=_advise(gap),
            key=key,
        )


def _describe(gap: Gap) -> str:
    if gap.type.kind == "struct":
        return f"has no field {gap.key!r}"
    return f"is of the type {gap.type.kind}, which has no fields"


def _advise(gap: Gap) -> str:
    if gap.type.kind == "list":
        return "name one item, as in `[0]`, or loop over them"
    names = [name for name, _ in gap.type.fields]
    if close := get_close_matches(gap.key, names, n=1, cutoff=0.6):
        return f"did you mean {close[0]!r}?"
    more = f" and {len(names) - _LISTED_FIELDS} more" if len(names) > _LISTED_FIELDS else ""
    return f"it has: {', '.join(names[:_LISTED_FIELDS])}{more}" if names else ""
