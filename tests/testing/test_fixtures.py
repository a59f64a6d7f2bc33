"""The fixtures are there where pytest is told to load them, and nowhere else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "testing.md"


def run_pytest(folder, *arguments):
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n", encoding="utf-8")
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def write_tests_of_the_page(folder):
    (source,) = re.findall(
        r"^<!-- .*, a test file -->\n```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    (folder / "test_page.py").write_text(source, encoding="utf-8")


def test_the_test_file_of_the_page_passes(tmp_path):
    write_tests_of_the_page(tmp_path)
    done = run_pytest(tmp_path, "-p", "pool_core.testing")
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


@pytest.mark.plugins("standard")
def test_the_suite_of_the_page_passes_and_fails_as_it_says(tmp_path):
    page = PAGE.read_text(encoding="utf-8")
    source = re.search(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[1]
    shown = re.search(r"^<!-- .*, what fails -->\n```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[1]
    (tmp_path / "test_right.py").write_text(source, encoding="utf-8")
    (tmp_path / "test_wrong.py").write_text(source.replace("truncated=False, ", ""), encoding="utf-8")
    right = run_pytest(tmp_path, "-p", "pool_core.testing", "test_right.py")
    assert right.returncode == 0, right.stdout
    wrong = run_pytest(tmp_path, "-p", "pool_core.testing", "test_wrong.py", "-k", "capabilities")
    assert shown in wrong.stdout
    assert "1 failed" in wrong.stdout


def test_the_fixtures_are_not_there_by_themselves(tmp_path):
    write_tests_of_the_page(tmp_path)
    done = run_pytest(tmp_path)
    assert "fixture 'scripted_backend' not found" in done.stdout
    assert "5 errors" in done.stdout


def test_importing_the_package_imports_neither_pytest_nor_hypothesis():
    program = "import sys, pool_core.testing.virtual_time, pool_core.testing.server, pool_core.testing.scripted;"
    program += "print(sorted({'pytest', 'hypothesis', 'jsonschema'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
