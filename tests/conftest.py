"""What all tests share: tests that need a plugin say so, and are skipped where it is not installed.

An environment that promises plugins (POOL_EXPECT_PLUGINS) fails in meta/test_plugin_set.py if one is
missing, so a skip can never hide that.
"""

from __future__ import annotations

from time import monotonic

import pytest

from pool_core.registry.discovery import discover_records
from pool_core.watchdog import watchdog as watchdog_module


def pytest_configure(config):
    config.addinivalue_line("markers", "plugins(*names): needs these plugins to be installed")


def pytest_collection_modifyitems(items):
    installed = {record.name for record in discover_records()}
    for item in items:
        for marker in item.iter_markers("plugins"):
            missing = sorted(set(marker.args) - installed)
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(missing)}"))


class WatchdogClock:
    """The clock that calls are held against: it stands still, and what takes long says so by `skip`."""

    def __init__(self):
        #: Whether real time passes too.
        self.runs = False
        self._skipped = 0.0

    def __call__(self):
        return self._skipped + (monotonic() if self.runs else 0.0)

    def skip(self, seconds=1000.0):
        self._skipped += seconds


@pytest.fixture
def watchdog_clock(monkeypatch):
    """Put a clock in the place of the watchdog's, so that what ends in time does so on any machine."""
    clock = WatchdogClock()
    monkeypatch.setattr(watchdog_module, "monotonic", clock)
    return clock
