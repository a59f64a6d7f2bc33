"""An environment tests what it says it tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import pool_core
from pool_core import Registry

EXPECTED = os.environ.get("POOL_EXPECT_PLUGINS")


@pytest.mark.skipif(EXPECTED is None, reason="only environments that name their plugin set promise one")
def test_the_plugins_of_this_environment_are_there_and_active():
    plugins = Registry.discover().plugins
    assert {plugin.record.name: plugin.state for plugin in plugins} == dict.fromkeys(EXPECTED.split(), "active")


@pytest.mark.skipif("POOL_EXPECT_WHEEL" not in os.environ, reason="only environments that install wheels promise one")
def test_what_is_tested_is_the_installed_wheel():
    assert "site-packages" in Path(pool_core.__file__).parts
    assert not [plugin.record.name for plugin in Registry.discover().plugins if plugin.record.editable]
