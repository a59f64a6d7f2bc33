"""Checksums: what was written is known again, and everything else is not."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool_core.store.migrations import create_tables
from pool_core.store.sealing import INSERTS, insert, is_intact, seal, select

values = st.one_of(
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.binary(max_size=5),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
)
records = st.lists(values, min_size=1, max_size=4)


@given(records)
def test_a_record_is_intact_after_a_journey_through_sqlite(record):
    columns = ", ".join(f"c{number}" for number in range(len(record)))
    marks = ", ".join("?" * (len(record) + 1))
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"CREATE TABLE t ({columns}, checksum)")
        connection.execute(f"INSERT INTO t VALUES ({marks})", seal("members", record))
        assert is_intact("members", connection.execute("SELECT * FROM t").fetchone())


numbers = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False))


@given(numbers, numbers, st.one_of(st.none(), numbers))
def test_an_answer_is_intact_also_where_its_whole_numbers_come_back_as_reals(created, seconds, cost):
    with closing(sqlite3.connect(":memory:")) as connection:
        create_tables(connection)
        record = seal("answers", (1, created, seconds, b"k", b"body", 1, 2, 3, cost))
        connection.execute(INSERTS["answers"], record)
        assert is_intact("answers", connection.execute(select("answers")).fetchone())


@given(records, records)
def test_records_that_differ_have_different_checksums(one, other):
    if list(map(repr, one)) != list(map(repr, other)) and one != other:
        assert seal("cells", one)[-1] != seal("cells", other)[-1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c"), ("a", "bc")),
        (("a",), (b"a",)),
        ((1,), ("1",)),
        ((None,), ("None",)),
        ((None,), ("",)),
        ((1.0,), (1,)),
        ((1, 2), (12,)),
        ((1, None), (None, 1)),
    ],
)
def test_values_cannot_pass_for_each_other(one, other):
    assert seal("cells", one)[-1] != seal("cells", other)[-1]


def test_a_record_of_another_table_or_without_checksum_is_not_intact():
    record = seal("cells", (1, "a"))
    assert is_intact("cells", record)
    assert not is_intact("rows", record)
    assert not is_intact("cells", (1, "a", None))
    assert not is_intact("cells", (1, "half \udc80", record[-1]))


def test_the_checksum_stays_the_same_from_release_to_release():
    """Files are read by later versions: whoever changes it must raise the version and migrate."""
    assert seal("cells", (1, "ok", None, 0.5, b"\0", 2.0, 2**63 - 1, "\N{SNOWMAN}"))[-1] == 8815951516852510656


@pytest.mark.parametrize("count", [0, 1, 3, 4, 15, 63, 64, 65, 200])
def test_records_are_written_many_at_once(count):
    sealed = [seal("bases", (key, f"fingerprint {key}")) for key in range(1, count + 1)]
    with closing(sqlite3.connect(":memory:")) as connection:
        create_tables(connection)
        statements = []
        connection.set_trace_callback(statements.append)
        insert(connection, "bases", sealed)
        connection.set_trace_callback(None)
        assert connection.execute(select("bases") + "ORDER BY key").fetchall() == sealed
    assert len([one for one in statements if one.startswith("INSERT")]) <= count // 64 + 9


def test_of_records_written_at_once_one_takes_the_place_of_that_with_its_key_or_is_a_fault():
    with closing(sqlite3.connect(":memory:")) as connection:
        create_tables(connection)
        insert(connection, "withdrawn", [seal("withdrawn", (7,))] * 5)
        assert len(connection.execute(select("withdrawn")).fetchall()) == 1
        with pytest.raises(sqlite3.IntegrityError):
            insert(connection, "bases", [seal("bases", (1, str(number))) for number in range(4)])
