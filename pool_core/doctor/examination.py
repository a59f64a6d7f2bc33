"""Looks at every installed plugin, each in a process of its own. Nothing of a plugin is imported here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

import pool_core
from pool_core.registry import Plugin, Selection
from pool_core.registry.admission import admit_records
from pool_core.registry.discovery import discover_records
from pool_core.registry.records import Kind

__all__ = ["Examination", "Offer", "examine_plugins"]

#: Seconds that a plugin has to import everything it offers.
PATIENCE = 120.0
#: Characters of what a plugin that broke had printed.
_MOST_SAID = 500


@dataclass(frozen=True, slots=True)
class Offer:
    """One contribution, and whether its class could be imported."""

    kind: Kind
    name: str
    suffixes: tuple[str, ...]
    #: Modules that it needs and that are not installed.
    missing: tuple[str, ...]
    #: What to pip-install for them.
    install: str
    #: Why its class cannot be used; empty where it can.
    problem: str


@dataclass(frozen=True, slots=True)
class Examination:
    """One plugin as it stands, and what was seen of it."""

    plugin: Plugin
    #: CPU seconds that importing the entry module took; None where it was not imported.
    seconds: float | None = None
    #: What the entry module imported beside the standard library, `pool_core.api` and its own package.
    heavy: tuple[str, ...] = ()
    offers: tuple[Offer, ...] = ()
    #: Functions of the entry module that are named as hooks are, and not marked as such.
    unmarked: tuple[str, ...] = ()


def examine_plugins(
    selection: Selection, path: Iterable[str] | None = None, patience: float = PATIENCE
) -> list[Examination]:
    """Examine the installed plugins, sorted by name. One that is switched off, incompatible or clashing is not run.

    Args:
        path: folders to look in instead of ``sys.path``; the plugins' processes import from them too.
        patience: seconds after which a plugin's process is ended.
    """
    folders = list(sys.path if path is None else [*path, *sys.path])
    plugins = admit_records(discover_records(path), selection, pool_core.__version__)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as threads:  # they only wait for the processes
        return list(threads.map(lambda plugin: _examine(plugin, folders, patience), plugins))


def _examine(plugin: Plugin, folders: Sequence[str], patience: float) -> Examination:
    if plugin.state != "active":
        return Examination(plugin)
    command = [sys.executable, "-P", "-m", "pool_core.doctor.probe", json.dumps(asdict(plugin.record))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    try:
        done = subprocess.run(  # noqa: S603 - the interpreter itself
            command, capture_output=True, timeout=patience, env=environment, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:
        return Examination(replace(plugin, state="failed", reason=f"its import did not end within {patience:g} s"))
    try:
        found = json.loads(done.stdout)
    except ValueError:
        return Examination(replace(plugin, state="failed", reason=_describe_end(done)))
    return _read_answer(plugin, found)


def _read_answer(plugin: Plugin, found: dict[str, Any]) -> Examination:
    offers = tuple(
        Offer(**{**offer, "suffixes": tuple(offer["suffixes"]), "missing": tuple(offer["missing"])})
        for offer in found["offers"]
    )
    judged = replace(plugin, state=found["state"], reason=found["reason"], hooks=tuple(found["hooks"]))
    return Examination(judged, found["seconds"], tuple(found["heavy"]), offers, tuple(found["unmarked"]))


def _describe_end(done: subprocess.CompletedProcess[bytes]) -> str:
    """How a process ended that gave no answer."""
    if done.returncode < 0:
        how = f"its import ended the process with {signal.Signals(-done.returncode).name}"
    else:
        how = f"its import ended the process (exit code {done.returncode})"
    said = done.stderr.decode(errors="replace").strip()[-_MOST_SAID:]
    return f"{how}: {said}" if said else how
