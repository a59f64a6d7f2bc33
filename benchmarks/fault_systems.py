"""The systems that meet the faults, and the virtual environment of each.

Every peer has an environment of its own, in a cache outside the repository; nothing of a peer is ever installed
beside this project. Only wheels are taken, so that nothing of a peer runs before it is driven. LiteLLM 1.82.7 and
1.82.8 were published by an attacker (PYSEC-2026-2) and earlier ones have known holes: none below 1.83.7 is admitted,
not even as another peer's dependency.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SYSTEMS", "NotMeasuredError", "System", "make_environment"]

#: The longest time that an installation may take, in seconds.
INSTALL_LIMIT = 1200
CONSTRAINTS = "litellm>=1.83.7\n"


@dataclass(frozen=True, slots=True)
class System:
    """A system and how it is driven."""

    name: str
    title: str
    driver: str
    #: What it retries, for the page.
    setting: str
    #: What pip is asked for; nothing for the system that runs in this environment.
    requirements: tuple[str, ...] = ()


SYSTEMS = (
    System("pool", "pool-core", "drive_pool.py", "the recipe's defaults"),
    System("openai", "openai SDK", "drive_openai.py", "default, `max_retries=2`", ("openai==3.57.0",)),
    System("litellm", "LiteLLM Router", "drive_litellm.py", "default, `num_retries=2`", ("litellm==1.109.1",)),
    System("data-designer", "Data Designer", "drive_data_designer.py", "default, 3", ("data-designer==0.9.7",)),
    System(
        "curator",
        "Curator",
        "drive_curator.py",
        "`max_retries=2` (default 10), `require_all_responses=False`, limits of rate that do not bind",
        ("bespokelabs-curator==0.1.31",),
    ),
    System(
        "inspect",
        "Inspect",
        "drive_inspect.py",
        "`max_retries=2` (default: for ever), `fail_on_error=False`",
        ("inspect-ai==0.3.285", "openai==3.57.0"),
    ),
)


class NotMeasuredError(Exception):
    """A system is not there, or does not work without a fault; the message says why."""


def make_environment(system: System, cache: Path) -> Path:
    """The Python of the system's environment, which is made where it is not there yet.

    Raises:
        NotMeasuredError: pip failed or took too long.
    """
    if not system.requirements:
        return Path(sys.executable)
    folder, wanted = cache / "environments" / system.name, "\n".join(system.requirements)
    python, done = folder / "bin" / "python", folder / "installed.txt"
    if done.exists() and done.read_text(encoding="utf-8") == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    constraints = folder / "constraints.txt"
    constraints.write_text(CONSTRAINTS, encoding="utf-8")
    # the pip that comes with Python may need minutes to choose among versions
    for requirements in (("--upgrade", "pip"), system.requirements):
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
        command += ["--constraint", constraints, *requirements]
        try:
            subprocess.run(command, check=True, timeout=INSTALL_LIMIT, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            last = (error.stderr.strip().splitlines() or ["pip failed"])[-1]
            raise NotMeasuredError(f"not installed: {last}") from None
        except subprocess.TimeoutExpired:
            raise NotMeasuredError(f"not installed: pip took more than {INSTALL_LIMIT} s") from None
    done.write_text(wanted, encoding="utf-8")
    return python
