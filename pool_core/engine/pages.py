"""Pages of rows, which the lanes of a run read one after the other."""

from __future__ import annotations

from collections import OrderedDict

from pool_core.store.records import StoredRow
from pool_core.store.store import Store

__all__ = ["PAGE_ROWS", "Pages"]

#: Rows that a lane reads at a time. Its memory is bounded by this and by what is in flight.
PAGE_ROWS = 256
#: Pages that are kept for the lanes that come later.
MOST_PAGES = 2


class Pages:
    """Reads each page once for all lanes that are about as far; one that is far behind reads for itself."""

    def __init__(self, store: Store) -> None:
        self._store = store
        #: By the position that they begin after, the last to be read at the end.
        self._pages: OrderedDict[int, list[StoredRow]] = OrderedDict()

    def read(self, after: int) -> list[StoredRow]:
        """The rows that follow the position ``after``; none at the end. Raises `StoreError`."""
        rows = self._pages.get(after)
        if rows is None:
            rows = self._pages[after] = self._store.read_rows(after, PAGE_ROWS)
            if len(self._pages) > MOST_PAGES:
                self._pages.popitem(last=False)
        return rows
