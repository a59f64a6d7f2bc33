"""The systems that meet the faults, and the virtual environment of each.

Every peer has an environment of its own, in a cache outside the repository; nothing of a peer is ever installed
beside this project.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from environments import NotInstalledError, install

__all__ = ["SYSTEMS", "NotMeasuredError", "System", "make_environment"]


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
    try:
        return install(cache / "environments" / system.name, system.requirements)
    except NotInstalledError as error:
        raise NotMeasuredError(str(error)) from None
