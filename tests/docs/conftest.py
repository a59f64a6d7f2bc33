"""The tests of the pages share modules that stand beside them."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[2] / "docs"))  # the generators of pages are scripts beside the pages

from pages import ROOT


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder with a copy of the examples."""
    ignored = shutil.ignore_patterns("runs", "output.*", "labels.jsonl", ".venv", "__pycache__")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=ignored)
    monkeypatch.chdir(tmp_path)
    return tmp_path
