"""The simulation is a handful of modules beside its tests, which benchmarks/simulation.py runs too."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pool_core.watchdog import Watchdog

sys.path.append(str(Path(__file__).parent))


@pytest.fixture(scope="module")
def watchdog():
    """One for all worlds of a module."""
    with Watchdog() as watchdog:
        yield watchdog
