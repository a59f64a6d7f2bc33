"""The kit against an installed plugin: ``python -m pool_core.testing PLUGIN``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from pool_core.errors import PoolError

_USAGE = "usage: python -m pool_core.testing PLUGIN [--results FILE] [arguments of pytest]"
#: What the kit is made with, and what installs it.
_NEEDED = ("pytest", "hypothesis", "jsonschema")


def run(arguments: Sequence[str]) -> int:
    """The exit code of the check of one plugin; see `pool_core.testing.conformance.installed.run_suite`."""
    if not arguments or arguments[0].startswith("-"):
        sys.stderr.write(f"{_USAGE}\n")
        return 2
    missing = [module for module in _NEEDED if find_spec(module) is None]
    if missing:
        install = 'pip install "pool-core[testing]"'
        sys.stderr.write(f"error: the kit needs {', '.join(missing)}, which is not installed\n  {install}\n")
        return 2
    from pool_core.testing.conformance.installed import collect_suite, run_suite  # noqa: PLC0415 - needs those

    name, *more = arguments
    results = None
    if more[:1] == ["--results"] and len(more) > 1:
        results, more = Path(more[1]), more[2:]
    try:
        collect_suite(name)
    except PoolError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return run_suite(name, results=results, arguments=more)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
