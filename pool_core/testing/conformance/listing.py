"""All checks of the kit, as the table in the documentation lists them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

from pool_core.testing.conformance.base import PluginConformance
from pool_core.testing.conformance.installed import KITS

__all__ = ["Check", "list_checks"]


@dataclass(frozen=True, slots=True)
class Check:
    """One check."""

    #: ``every`` for those of all kinds, or a kind.
    kind: str
    #: Its name, for ``pytest -k``: that of the test without ``test_``.
    name: str
    #: What it makes sure of.
    what: str


def list_checks() -> Iterator[Check]:
    """Every check once, those of all kinds first, in the order in which they stand in the code."""
    yield from _list("every", PluginConformance)
    for kind, kit in KITS.items():
        yield from _list(kind, kit)


def _list(kind: str, kit: type[PluginConformance]) -> Iterator[Check]:
    known = set(dir(PluginConformance)) if kit is not PluginConformance else set()
    for cls in (cls for cls in kit.__mro__ if issubclass(cls, PluginConformance)):
        for name, function in vars(cls).items():
            if name.startswith("test_") and name not in known and callable(function):
                yield Check(kind, name.removeprefix("test_"), inspect.cleandoc(function.__doc__ or ""))
