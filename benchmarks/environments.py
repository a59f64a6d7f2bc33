"""A virtual environment for each peer, in a folder outside the repository.

Nothing of a peer is ever installed beside this project. Only wheels are taken, so that nothing of a peer runs before it
is driven. LiteLLM 1.82.7 and 1.82.8 were published by an attacker (PYSEC-2026-2) and earlier ones have known holes:
none below 1.83.7 is admitted, not even as another peer's dependency.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["NotInstalledError", "find_python", "install"]

#: The longest time that an installation may take, in seconds.
INSTALL_LIMIT = 1200
CONSTRAINTS = "litellm>=1.83.7\n"


class NotInstalledError(Exception):
    """A peer cannot be installed here; the message says why."""


def find_python(version: str = "") -> str:
    """The interpreter of a version such as ``3.10``: this one without a version, else one on the path or pyenv's.

    Raises:
        NotInstalledError: there is none.
    """
    if not version or version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    found = str(pyenv[-1]) if pyenv else shutil.which(f"python{version}")
    if found is None:
        raise NotInstalledError(f"needs Python {version}, which is not on the path")
    return found


def install(folder: Path, requirements: Sequence[str], version: str = "") -> Path:
    """The Python of the environment in ``folder``, which is made where it does not have these requirements.

    Raises:
        NotInstalledError: there is no such Python, pip failed or took too long.
    """
    wanted, python, done = "\n".join(requirements), folder / "bin" / "python", folder / "installed.txt"
    if done.exists() and done.read_text(encoding="utf-8") == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    # `find_python` may be another version than this one, so not the module venv
    subprocess.run([find_python(version), "-m", "venv", folder], check=True)
    constraints = folder / "constraints.txt"
    constraints.write_text(CONSTRAINTS, encoding="utf-8")
    # the pip that comes with Python may need minutes to choose among versions
    for needed in (("--upgrade", "pip"), requirements):
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
        command += ["--constraint", constraints, *needed]
        try:
            subprocess.run(command, check=True, timeout=INSTALL_LIMIT, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            last = (error.stderr.strip().splitlines() or ["pip failed"])[-1]
            raise NotInstalledError(f"not installed: {last}") from None
        except subprocess.TimeoutExpired:
            raise NotInstalledError(f"not installed: pip took more than {INSTALL_LIMIT} s") from None
    done.write_text(wanted, encoding="utf-8")
    return python
