"""What `pool new plugin` writes is typed: its package says so, and a strict checker agrees, of its tests too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import pool_core
from pool_core.scaffold.plugin import KINDS, NewPlugin, write_plugin

pytest.importorskip("mypy")
pytest.importorskip("hypothesis")
pytest.importorskip("jsonschema")


def test_every_kind_is_typed_strictly(tmp_path):
    folders = [write_plugin(NewPlugin(f"zz-{kind}", kind), tmp_path)[0] for kind in KINDS]
    packages = [path.parent for folder in folders for path in folder.glob("*/py.typed")]
    assert len(packages) == len(KINDS)
    tests = [path for folder in folders for path in folder.glob("tests/test_*.py")]
    for test in tests:  # several kinds have tests of one name, which a checker takes for one module
        test.rename(test.with_stem(f"{test.stem}_{test.parents[1].name.replace('-', '_')}"))
    files = [*packages, *(path for folder in folders for path in folder.glob("tests/test_*.py"))]
    core = Path(pool_core.__file__).parents[1]  # where it is installed, mypy finds it and refuses to be told
    path = [str(folder) for folder in ([*folders] if core.name == "site-packages" else [*folders, core])]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), *map(str, files)],
        env={"MYPYPATH": ":".join(path), "PATH": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
