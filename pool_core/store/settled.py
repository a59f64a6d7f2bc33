"""Whether all cells of a member are done, told without reading each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from pool_core.store.schema import CONDITION_FAILED
from pool_core.store.store import Store

__all__ = ["count_settled"]


def count_settled(store: Store, member: int, bases: Collection[int]) -> Counter[tuple[str, str]] | None:
    """The cells of ``member`` by status and cause, if every assigned one rests on one of ``bases`` and an answer.

    Cells and assignments are held against each other by number, sum of rows and sum of samples: a cell whose
    key was damaged is missed. The records are not held against their checksums; who exports them does that.

    Returns:
        None where a cell is missing or rests on something else.

    Raises:
        StoreError: the store cannot be read.
    """
    place = [key for key, _ in store.read_members()].index(member)
    wanted = [0, 0, 0]
    for assigned, rows, keys in store.query("SELECT assigned, count(*), sum(key) FROM rows GROUP BY assigned"):
        samples = 1 if assigned[place] == CONDITION_FAILED else assigned[place]
        wanted[0] += rows * samples
        wanted[1] += keys * samples
        wanted[2] += rows * samples * (samples - 1) // 2
    marks = ", ".join("?" * len(bases))
    found = store.query(
        "SELECT status, cause, count(*), sum(key >> 24), sum(key & 255) FROM cells "  # noqa: S608 - marks alone
        f"WHERE key >> 8 & 65535 = ? AND basis IN ({marks}) AND answer IS NOT NULL GROUP BY status, cause",
        (member, *bases),
    )
    if [sum(row[part] for row in found) for part in (2, 3, 4)] != wanted:
        return None
    return Counter({(status, cause): count for status, cause, count, _, _ in found})
