"""Lanes that are about as far share a page of rows."""

from __future__ import annotations

import pytest

from pool_core.engine import pages as pages_module
from pool_core.engine.pages import Pages


class CountingStore:
    """Has ten rows, and notes what is read."""

    def __init__(self):
        self.read = []

    def read_rows(self, after, limit):
        self.read.append(after)
        return list(range(after + 1, min(10, after + 1 + limit)))


@pytest.fixture
def store(monkeypatch):
    monkeypatch.setattr(pages_module, "PAGE_ROWS", 3)
    return CountingStore()


def test_a_page_is_read_once_for_all_lanes(store):
    pages = Pages(store)
    walked = [pages.read(after) for after in (-1, 2, 5, 8, 9) for _lane in "abc"]
    assert walked == [page for page in ([0, 1, 2], [3, 4, 5], [6, 7, 8], [9], []) for _ in "abc"]
    assert store.read == [-1, 2, 5, 8, 9]


def test_a_lane_that_is_far_behind_reads_for_itself(store):
    pages = Pages(store)
    for after in (-1, 2, 5):
        pages.read(after)
    assert pages.read(-1) == [0, 1, 2]
    assert store.read == [-1, 2, 5, -1]
    assert len(pages._pages) == pages_module.MOST_PAGES
