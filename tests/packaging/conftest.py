"""Really installed: by pip, into a folder of its own, which a process has on its path."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def install(site, tmp_path_factory):
    """Install a distribution that is written here: name, entry module, and what its metadata says."""

    def write(name, source, *, plugin=None, api=1, core="pool-core>=0.1", version="1.0"):
        folder = tmp_path_factory.mktemp(name)
        package = name.replace("-", "_")
        (folder / package).mkdir()
        (folder / package / "__init__.py").write_text(source)
        (folder / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
            f'[project]\nname = "{name}"\nversion = "{version}"\ndependencies = ["{core}"]\n'
            f'[project.entry-points."pool_core.plugins.v{api}"]\n{plugin or name.removeprefix("pool-")} = "{package}"\n'
        )
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
        subprocess.run([*command, "--target", site, folder], check=True, timeout=300)

    return write


@pytest.fixture(scope="module")
def run_pool(site, tmp_path_factory):
    """Run the program where those are installed."""
    home = tmp_path_factory.mktemp("home")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("POOL_")}

    def run(*arguments, **files):
        for name, text in files.items():
            (home / f"{name}.yaml").write_text(text)
        return subprocess.run(
            [sys.executable, "-P", "-m", "pool_core", *arguments],
            cwd=home,
            env={**kept, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return run
