"""A run's generations, read back from its store: every assigned cell of every row, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pool_core.errors import StoreError
from pool_core.interfaces.encoding import decode_answer, decode_json
from pool_core.store.records import CellRecord, StoredRow
from pool_core.store.schema import CONDITION_FAILED, pack_cell
from pool_core.store.store import Store

__all__ = ["Generation", "MemberInfo", "RunInfo", "read_generations", "read_run_info"]


@dataclass(frozen=True, slots=True)
class MemberInfo:
    """What outputs say of a member."""

    name: str
    #: None while its first run starts.
    model: str | None
    task: str | None
    #: The member's key in the store.
    key: int


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What an export needs to know of a run, kept in its store when the run starts."""

    members: tuple[MemberInfo, ...]
    #: The pool's output fields and their types as text and as data, see `FieldType`.
    fields: Mapping[str, Any]
    #: Keys of the recipe's output, so that an export without options writes the same again.
    output: Mapping[str, Any]
    #: Whether members have fallbacks, so that generations say who answered.
    fallbacks: bool = False


def read_run_info(store: Store) -> RunInfo:
    """What the run in ``store`` is about. Raises `StoreError` where none was started."""
    found = store.get_meta("run")
    if found is None:
        raise StoreError("the run has not started: it holds no rows yet", where=str(store.folder))
    members = tuple(MemberInfo(**member) for member in found["members"])
    return RunInfo(members, found["fields"], found["output"], found.get("fallbacks", False))


#: One generation as outputs show it, complete with its output fields.
Generation = dict[str, Any]


def read_generations(store: Store, info: RunInfo, *, raw: bool = False) -> Iterator[tuple[StoredRow, list[Generation]]]:
    """Each row with one generation per assigned sample, whatever became of it: lists never shift.

    All of it is as it was when the first row is read, also while a run goes on.
    """
    known = {member.key: member for member in info.members}
    with store.freeze():
        # The rows decide who is there and in which order: ``info`` may be of the run before.
        members = [known.get(key) or MemberInfo(name, None, None, key) for key, name in store.read_members()]
        describe = _Describer(store, known, list(info.fields), raw=raw, fallbacks=info.fallbacks)
        yield from _walk_rows(store, store.iterate_rows(), members, describe)


#: Stands for the cells that have no outcome yet.
_PENDING = CellRecord(0, "pending", None, None, 0, 0.0, None, None, "", "", None)


def _walk_rows(
    store: Store, rows: Iterator[StoredRow], members: Sequence[MemberInfo], describe: _Describer
) -> Iterator[tuple[StoredRow, list[Generation]]]:
    groups = store.iterate_cells()
    group = next(groups, None)
    for row in rows:
        cells: dict[int, CellRecord] = {}
        if group is not None and group[0] == row.key:
            cells = {cell.key: cell for cell in group[1]}
            group = next(groups, None)
        generations = []
        for place, member in enumerate(members):
            count = row.assigned[place]
            for sample in range(1 if count == CONDITION_FAILED else count):
                cell = cells.get(pack_cell(row.key, member.key, sample), _PENDING)
                generations.append(describe(member, sample, cell))
        yield row, generations


class _Describer:
    """Describes the cells of one run."""

    def __init__(
        self, store: Store, members: Mapping[int, MemberInfo], fields: Sequence[str], *, raw: bool, fallbacks: bool
    ) -> None:
        self._store = store
        self._members = members
        self._fields = fields
        self._raw = raw
        self._fallbacks = fallbacks

    def __call__(self, member: MemberInfo, sample: int, cell: CellRecord) -> Generation:
        by = member if cell.answered_by is None else self._members.get(cell.answered_by, member)
        generation: Generation = {
            "member": member.name,
            "model": by.model,
            "task": by.task,
            "sample": sample,
            "status": cell.status,
            "cause": cell.cause or None,
            "message": cell.message or None,
        }
        outputs = {} if cell.outputs is None else decode_json(cell.outputs)
        for name in self._fields:
            generation[name] = outputs.get(name)
        given, made = cell.input_tokens, cell.output_tokens
        generation["usage"] = None if given is None and made is None else {"input_tokens": given, "output_tokens": made}
        if self._fallbacks:
            generation["answered_by"] = None if cell.answered_by is None else by.name
        if self._raw:
            stored = None if cell.answer is None else self._store.read_answer(cell.answer)
            generation["raw"] = None if stored is None else decode_answer(stored).text
        return generation
