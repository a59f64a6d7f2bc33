"""What each member alone gets wrong: its prompts, and parameters that its backend ignores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import monotonic

from pool_core.errors import TemplateError
from pool_core.interfaces.values import Finding, Row
from pool_core.plan.cells import make_prompt
from pool_core.plan.model import PlannedMember
from pool_core.watchdog import Watchdog

__all__ = ["check_members"]


def check_members(
    members: Sequence[PlannedMember], sample: Sequence[Row], watchdog: Watchdog, *, complete: bool = True
) -> Iterator[Finding]:
    """Every finding about one member. Renders the sampled rows for it; sends nothing.

    Args:
        complete: whether all columns are known, those of later rows included.
    """
    for member in members:
        yield from _check_prompts(member, sample, watchdog, complete=complete)
        yield from _check_sampling(member)


def _check_prompts(
    member: PlannedMember, sample: Sequence[Row], watchdog: Watchdog, *, complete: bool
) -> Iterator[Finding]:
    if member.prompt_format is not None and member.capabilities.takes == "chat":
        yield _error(
            member,
            "format-unused",
            f"{member.name} has a prompt format, but its backend {member.backend.name} takes messages as they are",
            hint="remove `prompt_format`, or let the backend take text",
            key="prompt_format",
        )
        return
    failures: list[tuple[int, TemplateError]] = []
    looked = 0
    until = monotonic() + member.limits.task_timeout  # a task that needs that long for each row is not asked for all
    for number, row in enumerate(sample, start=1):
        if looked and monotonic() > until:
            break
        looked = number
        try:
            prompt = make_prompt(member, row, watchdog)
        except TemplateError as error:
            failures.append((number, error))
        else:
            if problem := _check_kind(member, is_text=prompt.text is not None, has_messages=bool(prompt.messages)):
                yield problem
                return
    if failures:
        # A column that none of the first rows has may be in later ones: then only the rows without it fail.
        late = not complete and any(all(name not in row for row in sample) for name in member.adapter.inputs.values())
        yield _report_failures(member, failures, looked, late=late)


def _report_failures(
    member: PlannedMember, failures: Sequence[tuple[int, TemplateError]], rows: int, *, late: bool
) -> Finding:
    """One finding for all rows: an error where the first row fails and no later one can mend it, else a warning."""
    number, error = failures[0]
    said = f"{error.where}: {error.message}" if error.where else error.message
    if number == 1 and late:
        message = f"{member.name} cannot make a prompt of the first row: {said}"
        return Finding("warning", "render", message, (member.name,), hint=error.hint, key="task")
    if number == 1:
        message = f"{member.name} cannot make a prompt of the first row: {said}"
        return _error(member, "render", message, hint=error.hint, key="task")
    return Finding(
        "warning",
        "render-some",
        f"{member.name} cannot make a prompt of {len(failures)} of the first {rows} rows, "
        f"the first of them row {number}: {said}",
        (member.name,),
        hint="these cells will fail with the cause render, the others are not concerned",
        key="task",
    )


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
