"""Checksums: what was written is known again, and everything else is not."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool_core.store.sealing import is_intact, seal

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
    """Also where its numbers come back as another type: a column of reals gives floats."""
    with sqlite3.connect(":memory:") as connection:
        for kind in ("", " REAL"):
            columns = ", ".join(f"c{number}{kind}" for number in range(len(record)))
            connection.execute("DROP TABLE IF EXISTS t")
            connection.execute(f"CREATE TABLE t ({columns}, checksum)")
            fitting = [None if kind and not isinstance(value, float) else value for value in record]
            marks = ", ".join("?" * (len(record) + 1))
            connection.execute(f"INSERT INTO t VALUES ({marks})", seal("cells", fitting))
            assert is_intact("cells", connection.execute("SELECT * FROM t").fetchone())
    connection.close()


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
        (("s1:a",), ("a",)),
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


def test_the_checksum_stays_the_same_from_release_to_release():
    """Files are read by later versions: whoever changes it must raise the version and migrate."""
    assert seal("cells", (1, "ok", None, 0.5, b"\0", 2.0, 2**63 - 1, "\N{SNOWMAN}"))[-1] == -7893741633623544742
