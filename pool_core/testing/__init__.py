"""Tools for the tests of plugins and of the pool itself, and a kit that a plugin has to pass.

With ``pytest -p pool_core.testing`` its fixtures are there; nothing of it loads by itself, and importing
this module imports nothing. The classes of the kit are imported on first use and need
``pip install "pool-core[testing]"``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pool_core.testing.conformance.backend import BackendConformance
    from pool_core.testing.conformance.declared import Failure, FormatExample, ReaderExample, Supports, TaskExample
    from pool_core.testing.conformance.policy import PolicyConformance
    from pool_core.testing.conformance.prompt_format import PromptFormatConformance
    from pool_core.testing.conformance.reader import ReaderConformance
    from pool_core.testing.conformance.task import TaskConformance
    from pool_core.testing.conformance.writer import WriterConformance
    from pool_core.testing.members import make_signature

__all__ = [
    "BackendConformance",
    "Failure",
    "FormatExample",
    "PolicyConformance",
    "PromptFormatConformance",
    "ReaderConformance",
    "ReaderExample",
    "Supports",
    "TaskConformance",
    "TaskExample",
    "WriterConformance",
    "make_signature",
]

#: What pytest loads beside this module when it is told to.
pytest_plugins = ("pool_core.testing.fixtures",)

_KIT = "pool_core.testing.conformance"
_MODULES = {
    "BackendConformance": f"{_KIT}.backend",
    "Failure": f"{_KIT}.declared",
    "FormatExample": f"{_KIT}.declared",
    "PolicyConformance": f"{_KIT}.policy",
    "PromptFormatConformance": f"{_KIT}.prompt_format",
    "ReaderConformance": f"{_KIT}.reader",
    "ReaderExample": f"{_KIT}.declared",
    "Supports": f"{_KIT}.declared",
    "TaskConformance": f"{_KIT}.task",
    "TaskExample": f"{_KIT}.declared",
    "WriterConformance": f"{_KIT}.writer",
    "make_signature": "pool_core.testing.members",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: pytest and hypothesis are no dependencies of the pool."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
