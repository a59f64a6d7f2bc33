"""Foreign text does not act on a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool_core.report.text import make_harmless


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("naïve 日本 🙂", "naïve 日本 🙂"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("title\x1b]0;x\x07", "title\\x1b]0;x\\x07"),
        ("over\rwritten", "over\\rwritten"),
        ("back\x08space", "back\\x08space"),
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("right\u202eto left", "right\\u202eto left"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("half \ud83d", "half \\ud83d"),
        ("line\u2028separator", "line\\u2028separator"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("private\ue000", "private\\ue000"),
        ("", ""),
    ],
)
def test_what_acts_becomes_visible(text, shown):
    assert make_harmless(text) == shown


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("12345", 5, "12345"),
        ("123456", 5, "1234…"),
        ("123456", 1, "…"),
        ("\x1b\x1b\x1b", 5, "\\x1b…"),
        ("\x1b", 4, "\\x1b"),
        ("日本語", 2, "日…"),
    ],
)
def test_no_more_than_the_limit_is_shown(text, limit, shown):
    assert make_harmless(text, limit) == shown


@given(st.text(st.characters()), st.none() | st.integers(1, 20))
def test_nothing_that_acts_is_left(text, limit):
    shown = make_harmless(text, limit)
    acting = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    assert not [c for c in shown if c not in "\n\t" and unicodedata.category(c) in acting]
    assert limit is None or len(shown) <= limit
    shown.encode()
