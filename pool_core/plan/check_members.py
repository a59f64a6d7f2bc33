"""What each member alone gets wrong: its prompts, and parameters that its backend ignores."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from time import monotonic

from pool_core.errors import TemplateError
from pool_core.interfaces.values import Finding, Row
from pool_core.plan.asked import AskedRows
from pool_core.plan.cells import format_prompt, render_guarded
from pool_core.plan.model import PlannedMember
from pool_core.watchdog import Watchdog

__all__ = ["check_members"]


def check_members(
    members: Sequence[PlannedMember],
    asked: Sequence[AskedRows],
    sample: Sequence[Row],
    watchdog: Watchdog,
    *,
    complete: bool = True,
) -> Iterator[Finding]:
    """Every finding about one member. Renders the sampled rows that it is asked for; sends nothing.

    Args:
        asked: for each member, which rows of ``sample`` these are.
        complete: whether no later row can have further columns.
    """
    for member, its in zip(members, asked, strict=True):
        yield from _check_prompts(member, its.rows, sample, watchdog, complete=complete)
        yield from _check_sampling(member)


def _check_prompts(
    member: PlannedMember,
    rows: Sequence[tuple[int, Row]],
    sample: Sequence[Row],
    watchdog: Watchdog,
    *,
    complete: bool,
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
    tried: list[int] = []
    described = False
    looked = len(sample)
    until = monotonic() + member.limits.task_timeout  # a task that needs that long for each row is not asked for all
    for number, row in rows:
        if tried and monotonic() > until:
            looked = tried[-1]
            break
        tried.append(number)
        try:
            rendered = render_guarded(member, row, watchdog)
            prompt = format_prompt(member, rendered, watchdog)
        except TemplateError as error:
            failures.append((number, row, error))
        else:
            described = described or (rendered.schema is not None and prompt.schema is None)
            if problem := _check_kind(member, is_text=prompt.text is not None, has_messages=bool(prompt.messages)):
                yield problem
                return
    if described:
        yield _report_description(member)
    if failures:
        # A column that none of the first rows has may be in later ones: then only the rows without it fail.
        late = not complete and any(all(name not in row for row in sample) for name in member.adapter.inputs.values())
        yield _report_failures(member, failures, tried, looked, late=late)


def _report_description(member: PlannedMember) -> Finding:
    again = "" if member.reask is not None else "reask: {times: 2}"
    return Finding(
        "info",
        "schema-in-prompt",
        f"the task of {member.name} wants answers that satisfy a JSON Schema, and its backend {member.backend.name} "
        "constrains none: the schema stands in the prompt",
        (member.name,),
        hint="an answer that does not satisfy it fails its cell" + (", unless it is asked again" if again else ""),
        fix=again,
        key="backend",
    )


def _report_failures(
    member: PlannedMember,
    failures: Sequence[tuple[int, Row, TemplateError]],
    tried: Sequence[int],
    looked: int,
    *,
    late: bool,
) -> Finding:
    """One finding for all rows: an error where the first row fails and no later one can mend it, else a warning.

    Args:
        tried: the numbers of the rows that were tried among the first ``looked``.
        late: whether later rows may have what these lack.
    """
    number, row, error = failures[0]
    said = f"{error.where}: {error.message}" if error.where else error.message
    key = _find_key(member, error, row)
    if number == tried[0]:
        which = "the first row" if number == 1 else f"row {number}, the first that its `when` admits"
        return Finding(
            "warning" if late else "error",
            "render",
            f"{member.name} cannot make a prompt of {which}: {said}",
            (member.name,),
            hint=error.hint,
            key=key,
        )
    of = f"the first {looked} rows"
    if len(tried) < looked:
        of = f"the {len(tried)} rows that its `when` admits among the first {looked}"
    return Finding(
        "warning",
        "render-some",
        f"{member.name} cannot make a prompt of {len(failures)} of {of}, the first of them row {number}: {said}",
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
