"""What was paid for, summed over every stored answer, whoever holds it now."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Sequence

from pool_core.store.records import Spent
from pool_core.store.sealing import Value, select

__all__ = ["sum_spent"]

#: An answer whose figures cannot be what was written, and one that is known to be damaged.
_UNSOUND = (
    "key IN (SELECT answer FROM temp.unsound) OR typeof(coalesce(member, 0)) != 'integer' "
    "OR typeof(coalesce(input_tokens, 0)) != 'integer' OR typeof(coalesce(output_tokens, 0)) != 'integer' "
    "OR NOT abs(coalesce(cost, 0.0)) < 1e15"
)
_SUMS = (
    "SELECT unsound, coalesce(member, 0), count(*), total(input_tokens), total(output_tokens), total(cost), "  # noqa: S608
    "sum(input_tokens IS NULL OR output_tokens IS NULL), sum(cost IS NULL) "
    f"FROM (SELECT *, {_UNSOUND} AS unsound FROM answers) GROUP BY 1, 2"
)


def sum_spent(
    connection: sqlite3.Connection, check: Callable[[str, Sequence[Value]], bool], *, thorough: bool
) -> dict[int, Spent]:
    """What was paid for, by the key of the member that paid; key 0 has the answers of which it is not known.

    A damaged answer was paid for, and nobody knows what.

    Args:
        check: whether a record of a table is intact.
        thorough: hold each answer against its checksum; else only what could not be summed is seen as damaged.
    """
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS unsound (answer INTEGER PRIMARY KEY)")
    connection.execute("DELETE FROM unsound")
    if thorough:
        bad = (record[:1] for record in connection.execute(select("answers")) if not check("answers", record))
        connection.executemany("INSERT INTO unsound VALUES (?)", bad)
    found = connection.execute(_SUMS)
    spent: defaultdict[int, Spent] = defaultdict(Spent)
    for unsound, member, answers, input_tokens, output_tokens, cost, unknown_tokens, unknown_cost in found:
        if unsound:
            spent[0] += Spent(answers, unknown_tokens=answers, unknown_cost=answers)
        else:
            spent[member] += Spent(answers, int(input_tokens), int(output_tokens), cost, unknown_tokens, unknown_cost)
    return dict(spent)
