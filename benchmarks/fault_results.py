"""What was measured of a system, kept in the cache so that one system can be measured again without the others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

from fault_judge import Verdict
from fault_systems import System

__all__ = ["Measured", "Outcome", "read_measured", "write_measured"]

#: By the name of a case, its verdict, or why there is none.
Outcome: TypeAlias = Mapping[str, Verdict | str]


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of one system."""

    #: As in ``2026-11-25``.
    day: str
    #: The versions that were measured, or why the system was not.
    version: str
    #: By the name of a fault; empty where the system was not measured.
    outcomes: Mapping[str, Outcome]


def write_measured(cache: Path, system: System, measured: Measured) -> None:
    """Keep it, together with what it depends on."""
    path = _choose_path(cache, system)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(measured) | {"rules": _hash_rules(system)}), encoding="utf-8")


def read_measured(cache: Path, system: System) -> Measured | None:
    """What was kept; None where nothing was, or where faults, rules, driver or versions changed since."""
    path = _choose_path(cache, system)
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if kept.get("rules") != _hash_rules(system):
        return None
    outcomes = {
        fault: {case: _read_verdict(verdict) for case, verdict in outcome.items()}
        for fault, outcome in kept["outcomes"].items()
    }
    return Measured(kept["day"], kept["version"], outcomes)


def _read_verdict(verdict: dict | str) -> Verdict | str:
    if isinstance(verdict, str):
        return verdict
    return Verdict(verdict["kind"], verdict["requests"], tuple(verdict["reasons"]))


def _choose_path(cache: Path, system: System) -> Path:
    return cache / "results" / f"{system.name}.json"


def _hash_rules(system: System) -> str:
    here = Path(__file__).parent
    files = ("fault_cases.py", "fault_judge.py", "fault_run.py", "peers/job.py", f"peers/{system.driver}")
    digest = hashlib.sha256("\n".join(system.requirements).encode())
    for name in files:
        digest.update((here / name).read_bytes())
    return digest.hexdigest()
