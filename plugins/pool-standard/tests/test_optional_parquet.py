"""Without the extra ``parquet``, Parquet is named with what to install, and nothing else is missing."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "pyarrow" else found(name, *rest)
from pool_core import Registry
from pool_core.errors import PluginError
registry = Registry.discover()
registry.load(registry.find("reader", "jsonl"))
for kind in ("reader", "writer"):
    try:
        registry.load(registry.find(kind, "parquet"))
    except PluginError as error:
        print(error)
"""


def test_parquet_without_pyarrow_prints_the_pip_line():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines == [
        "the reader standard/parquet of pool-standard 0.1.0 needs pyarrow, which is not installed",
        '  pip install "pool-standard[parquet]"',
        "the writer standard/parquet of pool-standard 0.1.0 needs pyarrow, which is not installed",
        '  pip install "pool-standard[parquet]"',
    ]
