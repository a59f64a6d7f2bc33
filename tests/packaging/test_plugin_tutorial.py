"""The tutorial on plugins is the log of doing it: its commands are run, and its outputs are what they print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("hatchling")
pytest.importorskip("hypothesis")
pytest.importorskip("jsonschema")
pytestmark = pytest.mark.plugins("standard", "replay")

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "plugin.md"
_BLOCK = re.compile(r"^```(bash|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

#: An installation into a folder of its own, which changes nothing of the environment that tests.
INSTALL = """
pip() { "$PYTHON" -m pip install --quiet --no-deps --no-build-isolation --target "$SITE" .; }
pytest() { "$PYTHON" -P -m pytest -p no:cacheprovider "$@"; }
pool() { "$PYTHON" -P -m pool_core "$@"; }
set -e
cd "$PLACE"
"""


def test_its_log_is_true(tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "POOL_"))}
    site = tmp_path / "site"
    place = tmp_path
    printed = ""
    blocks = _BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert [kind for kind, _ in blocks].count("text") == 4
    for kind, text in blocks:
        if kind == "text":
            parts = (re.escape(" ".join(part.split())) for part in text.split("..."))
            assert re.fullmatch(r"\s*.*\s*".join(parts), " ".join(printed.split())), printed
            continue
        environment = kept | {
            "PYTHON": sys.executable,
            "SITE": str(site),
            "PYTHONPATH": str(site),
            "PLACE": str(place),
        }
        done = subprocess.run(
            ["bash", "-c", INSTALL + text + "pwd >&2"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, text + done.stdout + done.stderr
        printed = done.stdout
        place = Path(done.stderr.splitlines()[-1])
    assert place == tmp_path / "pool-shout"
    output = (place / "example" / "output.jsonl").read_text()
    assert re.search(r'"reply":"[^a-z"]+"', output), output
