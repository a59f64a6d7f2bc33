"""Servers that others have made, each started once and skipped where it is not on this machine.

They are found and started as `benchmarks/honours.py` does it, whose folder is put on the path.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
if BENCHMARKS not in sys.path:
    sys.path.append(BENCHMARKS)


@pytest.fixture(scope="session")
def start_server(tmp_path_factory):
    """Starts a server by its name, once for all tests of this process. Skips the test where that cannot be."""
    from counterparts.models import NotMadeError, make_model
    from counterparts.servers import COUNTERPARTS
    from counterparts.start import start

    known = {one.name: one for one in COUNTERPARTS}
    running = {}
    with ExitStack() as stack:

        def start_once(name):
            counterpart = known[name]
            if counterpart.find() is None:
                pytest.skip(f"{name} is not on this machine: {counterpart.get}")
            if name not in running:
                folder = tmp_path_factory.mktemp(name)
                try:
                    model = make_model(counterpart, folder / "models")
                except NotMadeError as error:
                    pytest.skip(f"{name}: {error}")
                running[name] = stack.enter_context(start(counterpart, model, folder))
            return running[name]

        yield start_once
