"""Every distribution as it is published: built, its wheel looked into, and installed where there is no checkout.

``POOL_WRITE_GOLDEN=1`` writes the golden file anew, after a change of what plugins offer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

for module in ("build", "check_wheel_contents", "hatchling", "twine"):
    pytest.importorskip(module)

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).with_name("plugins.json")
PLUGINS = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))
FOLDERS = [ROOT, *PLUGINS, ROOT / "examples" / "third-party-plugin"]


def run(*arguments, **options):
    done = subprocess.run([*map(str, arguments)], capture_output=True, text=True, check=False, timeout=600, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with an sdist and a wheel of each; the wheel is made of the sdist, as an index's users have it."""
    folder = tmp_path_factory.mktemp("dist")
    for source in FOLDERS:
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source)
    return folder


@pytest.fixture(scope="module")
def wheels(built):
    return {path.name.partition("-")[0].replace("_", "-"): path for path in built.glob("*.whl")}


def test_each_has_an_sdist_and_a_wheel(built, wheels):
    assert sorted(wheels) == sorted(f"pool-{_read_name(folder)}" for folder in FOLDERS)
    assert len(list(built.glob("*.tar.gz"))) == len(FOLDERS)


def _read_name(folder):
    return "core" if folder == ROOT else "sentiment" if folder.parent.name == "examples" else folder.name[5:]


def test_the_index_would_take_them(built):
    run(sys.executable, "-m", "twine", "check", "--strict", *built.iterdir())


def test_the_wheels_hold_what_they_should(wheels):
    run(sys.executable, "-m", "check_wheel_contents", *wheels.values())
    for name, wheel in wheels.items():
        package = name.replace("-", "_")
        names = zipfile.ZipFile(wheel).namelist()
        assert {path.partition("/")[0].partition("-")[0] for path in names} == {package}, name
        assert any(path.endswith("/licenses/LICENSE") for path in names), name
        if name != "pool-sentiment":
            assert f"{package}/py.typed" in names


def test_the_core_brings_the_templates_of_new_plugins(wheels):
    names = zipfile.ZipFile(wheels["pool-core"]).namelist()
    made = {path for path in names if path.startswith("pool_core/scaffold/files/")}
    files = ROOT / "pool_core" / "scaffold" / "files"
    assert made == {f"pool_core/scaffold/files/{path.relative_to(files)}" for path in files.rglob("*.template")}


@pytest.fixture(scope="module")
def installed(wheels, tmp_path_factory):
    """The program `pool` of an environment that has the wheels, and of others' what the core depends on."""
    home = tmp_path_factory.mktemp("home")
    venv.create(home / "venv", with_pip=True)
    pip = [home / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet"]
    run(*pip, wheels["pool-core"], cwd=home)
    run(*pip, "--no-deps", *(path for name, path in wheels.items() if name != "pool-core"), cwd=home)
    return home / "venv" / "bin" / "pool"


def test_what_is_installed_is_what_the_golden_file_says(installed, tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("POOL_", "PYTHON"))}
    found = json.loads(run(installed, "plugins", "list", "--json", cwd=tmp_path, env=kept))
    for plugin in found["plugins"]:
        plugin["version"] = "*"
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    if "POOL_WRITE_GOLDEN" in os.environ:
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8"), "run with POOL_WRITE_GOLDEN=1 if this is as it should be"


def test_a_new_plugin_is_written_where_there_is_no_checkout(installed, tmp_path):
    run(installed, "new", "plugin", "zz", "--kind", "backend", cwd=tmp_path)
    assert (tmp_path / "pool-zz" / "pool_zz" / "backend.py").exists()
