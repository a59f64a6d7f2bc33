"""The policy over the members' inputs: the rows have every column that a member needs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from pool_core.interfaces.config import PluginConfig
from pool_core.interfaces.policy import MemberSignature, Policy
from pool_core.interfaces.values import Finding
from pool_core.interfaces.yaml_text import write_fix
from pool_standard.policies.wording import describe_members, list_names, sort_members

__all__ = ["Inputs"]

_LISTED_COLUMNS = 30
#: How alike two names must be for one to be proposed, from 0 to 1.
_LIKENESS = 0.75
#: Names of columns that identify a row, which no task means by its input.
_ID_NAME = re.compile(r"(.*[_\W])?(id|ids|uid|uuid|guid|key|index|idx)", re.IGNORECASE)
_ID_ENDING = re.compile(r".*[a-z](Id|ID)")


class Inputs(Policy[PluginConfig]):
    """Every column that a member needs exists in the rows. Rule ``input-missing``.

    Says nothing where no rows are known. A warning where later rows, which were not looked at, may have
    it, and where the member's `when` admits no row.
    """

    Config = PluginConfig

    def judge(self, members: Sequence[MemberSignature]) -> Iterable[Finding]:
        """Return one finding for each missing column of each member."""
        return [finding for member in sort_members(members) for finding in _judge_member(member)]


def _judge_member(member: MemberSignature) -> Iterable[Finding]:
    if member.columns is None:
        return
    missing = {name: column for name, column in sorted(member.inputs.items()) if column not in member.columns}
    if not missing:
        return
    proposed = _propose_columns(member, missing)
    renames = {name: column for name, column in {**member.inputs, **proposed}.items() if name != column}
    fix = write_fix("inputs", renames)
    for name, column in missing.items():
        found = proposed.get(name)
        yield Finding(
            level="error" if member.columns_complete and member.asked else "warning",
            rule="input-missing",
            message=f"{describe_members([member])} needs the column {column!r} for its input {name!r}, "
            + _say_missing(member),
            members=(member.name,),
            field=column,
            hint=_write_hint(name, found),
            fix=fix if found is not None else "",
            source="inputs",
            key=f"inputs.{name}" if name in member.adapters.get("inputs", {}) else "task",
        )


def _propose_columns(member: MemberSignature, missing: dict[str, str]) -> dict[str, str]:
    """The columns that ``missing`` inputs probably mean: of a similar name, or the only one left. None serves twice."""
    free = sorted(set(member.columns or ()) - set(member.inputs.values()))
    proposed: dict[str, str] = {}
    for name, column in missing.items():
        close = _find_close(column, free) or _find_close(name, free)
        if close:
            proposed[name] = close[0]
            free.remove(close[0])
    open_inputs = missing.keys() - proposed.keys()
    if len(open_inputs) == 1 and len(free) == 1 and not _is_named_like_id(free[0]):
        proposed[open_inputs.pop()] = free[0]
    return proposed


def _find_close(name: str, columns: list[str]) -> list[str]:
    by_folded = {column.casefold(): column for column in reversed(columns)}
    close = difflib.get_close_matches(name.casefold(), sorted(by_folded), n=1, cutoff=_LIKENESS)
    return [by_folded[folded] for folded in close]


def _is_named_like_id(column: str) -> bool:
    return bool(_ID_NAME.fullmatch(column) or _ID_ENDING.fullmatch(column))


def _say_missing(member: MemberSignature) -> str:
    said = _say_columns(member.columns or ())
    if member.columns_complete:
        return f"and the rows {said}." + ("" if member.asked else " Its `when` admits none of them.")
    return (
        f"and the first rows {said}. Later rows may have it; cells of rows that lack it fail with the cause `render`."
    )


def _say_columns(columns: Iterable[str]) -> str:
    names = sorted(columns)
    if not names:
        return "have no columns"
    return f"only have {list_names(names, _LISTED_COLUMNS)}"


def _write_hint(name: str, found: str | None) -> str:
    if found is None:
        return f"Name the column with `inputs: {{{name}: the column}}`, or add the column to the rows."
    return f"Did you mean {found!r}? Add the fix to the member: it reads {name!r} from that column."
