"""What all tests share: tests that need a plugin say so, and are skipped where it is not installed.

An environment that promises plugins (POOL_EXPECT_PLUGINS) fails in meta/test_plugin_set.py if one is
missing, so a skip can never hide that.
"""

from __future__ import annotations

import pytest

from pool_core.registry.discovery import discover_records


def pytest_configure(config):
    config.addinivalue_line("markers", "plugins(*names): needs these plugins to be installed")


def pytest_collection_modifyitems(items):
    installed = {record.name for record in discover_records()}
    for item in items:
        for marker in item.iter_markers("plugins"):
            missing = sorted(set(marker.args) - installed)
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"not installed: {', '.join(missing)}"))
