"""What each member alone gets wrong: its inputs, its prompts, parameters that its backend ignores."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from pool_core.errors import TemplateError
from pool_core.interfaces.types import FieldType, accepts
from pool_core.interfaces.values import Finding, Row
from pool_core.plan.cells import make_prompt
from pool_core.plan.model import PlannedMember
from pool_core.plan.rows import merge_columns

__all__ = ["check_members"]


def check_members(
    members: Sequence[PlannedMember],
    sample: Sequence[Row],
    columns: Mapping[str, FieldType] | None,
    declared: Mapping[str, FieldType],
    *,
    complete: bool = True,
    routed: bool = False,
) -> Iterator[Finding]:
    """Every finding about one member. Renders the sampled rows for it; sends nothing.

    Args:
        columns: those of the sampled rows.
        declared: those that the rows' format declares.
        complete: whether no later row can have further columns.
        routed: whether a member gets only the rows that its ``when`` admits.
    """
    for member in members:
        rows = [(number, row) for number, row in enumerate(sample, start=1) if not routed or _admits(member, row)]
        known = {**merge_columns(row for _, row in rows), **declared} if len(rows) < len(sample) else columns or {}
        yield from _check_input_types(member, known)
        yield from _check_prompts(member, rows, sample, complete=complete)
        yield from _check_sampling(member)


def _admits(member: PlannedMember, row: Row) -> bool:
    """Whether the member is asked for ``row``; a ``when`` that cannot be evaluated fails the cell by itself."""
    try:
        return member.when is None or member.when.test(row)
    except TemplateError:
        return False


def _check_input_types(member: PlannedMember, columns: Mapping[str, FieldType]) -> Iterator[Finding]:
    """The columns against the types that the task declares for its inputs."""
    for name, wanted in member.adapter.input_types.items():
        column = member.adapter.inputs.get(name, name)
        found = columns.get(column)
        if found is not None and not accepts(wanted, found):
            yield _error(
                member,
                "input-type",
                f"{member.name} reads its input {name!r} from the column {column!r}, which holds {found}; "
                f"the task {member.task_name} needs {wanted}",
                hint="name another column, as in `inputs: {" + f"{name}: COLUMN" + "}`",
                field=column,
                key=f"inputs.{name}" if name in member.signature.adapters.get("inputs", {}) else "task",
            )


def _check_prompts(
    member: PlannedMember, rows: Sequence[tuple[int, Row]], sample: Sequence[Row], *, complete: bool
) -> Iterator[Finding]:
    """The prompts of ``rows``, which are those of ``sample`` that the member is asked for, with their numbers."""
    if member.prompt_format is not None and member.capabilities.takes == "chat":
        yield _error(
            member,
            "format-unused",
            f"{member.name} has a prompt format, but its backend {member.backend.name} takes messages as they are",
            hint="remove `prompt_format`, or let the backend take text",
            key="prompt_format",
        )
        return
    failures: list[tuple[int, Row, TemplateError]] = []
    for number, row in rows:
        try:
            prompt = make_prompt(member, row)
        except TemplateError as error:
            failures.append((number, row, error))
        else:
            if problem := _check_kind(member, is_text=prompt.text is not None, has_messages=bool(prompt.messages)):
                yield problem
                return
    if failures:
        # A column that none of the first rows has may be in later ones: then only the rows without it fail.
        late = not complete and any(all(name not in row for row in sample) for name in member.adapter.inputs.values())
        yield _report_failures(member, failures, [number for number, _ in rows], len(sample), late=late)


def _report_failures(
    member: PlannedMember,
    failures: Sequence[tuple[int, Row, TemplateError]],
    numbers: Sequence[int],
    sampled: int,
    *,
    late: bool,
) -> Finding:
    """One finding for all rows: an error where the first row fails and no later one can mend it, else a warning."""
    number, row, error = failures[0]
    key = _find_key(member, error, row)
    if number == numbers[0]:
        which = "the first row" if number == 1 else f"row {number}, the first that its `when` admits"
        return Finding(
            "warning" if late else "error",
            "render",
            f"{member.name} cannot make a prompt of {which}: {error.message}",
            (member.name,),
            hint=error.hint,
            key=key,
        )
    of = f"the first {sampled} rows"
    if len(numbers) < sampled:
        of = f"the {len(numbers)} rows that its `when` admits among the first {sampled}"
    return Finding(
        "warning",
        "render-some",
        f"{member.name} cannot make a prompt of {len(failures)} of {of}, "
        f"the first of them row {number}: {error.message}",
        (member.name,),
        hint="these cells will fail with the cause render, the others are not concerned",
        key=key,
    )


def _find_key(member: PlannedMember, error: TemplateError, row: Row) -> str:
    """The key of the member whose line is shown: the option of the task that the error's place begins with,
    or the one that names a column that is not there."""
    config = member.task.config
    options = {name: getattr(config, name) for name in getattr(type(config), "model_fields", ())}
    place = re.match(r"\w*", error.where)
    if place is not None and place[0] in options:
        return f"task.{place[0]}"
    missing = next((name for name, column in member.adapter.inputs.items() if column not in row), None)
    if missing is None:
        return "task"
    if missing in member.signature.adapters.get("inputs", {}):
        return f"inputs.{missing}"
    word = re.compile(rf"\b{re.escape(missing)}\b")
    naming = [name for name, value in options.items() if isinstance(value, str) and word.search(value)]
    return f"task.{naming[0]}" if len(naming) == 1 else "task"


def _check_kind(member: PlannedMember, *, is_text: bool, has_messages: bool) -> Finding | None:
    takes, backend = member.capabilities.takes, member.backend.name
    if takes == "text" and not is_text:
        return _error(
            member,
            "format-missing",
            f"{member.name} makes messages, but its backend {backend} takes one text",
            hint="name the format that the model was trained on",
            fix="prompt_format: chatml",
            key="backend",
        )
    if takes == "chat" and not has_messages:
        return _error(
            member,
            "prompt-kind",
            f"{member.name} makes one text, but its backend {backend} takes messages",
            hint="use a task that makes messages, or a backend that takes text",
            key="backend",
        )
    return None


def _check_sampling(member: PlannedMember) -> Iterator[Finding]:
    for name in member.ignored:
        yield Finding(
            "warning",
            "parameter-ignored",
            f"{member.name} sets {name!r}, which its backend {member.backend.name} does not take; it is not sent",
            (member.name,),
            name,
            hint=f"remove `{name}` from its sampling",
            key="sampling",
        )


def _error(
    member: PlannedMember, rule: str, message: str, *, key: str, hint: str = "", fix: str = "", field: str = ""
) -> Finding:
    return Finding("error", rule, message, (member.name,), field, hint=hint, fix=fix, key=key)
