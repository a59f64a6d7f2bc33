"""What was seen of each server, kept so that one can be asked again without the others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from counterparts.probes import Seen

__all__ = ["RESULTS", "Asked", "read_results", "write_results"]

RESULTS = Path(__file__).parents[1] / "results" / "honours.json"


@dataclass(frozen=True, slots=True)
class Asked:
    """One server, as it was asked."""

    #: As in ``2026-11-26``.
    day: str
    version: str
    #: By the name of a probe.
    seen: Mapping[str, Seen]


def read_results(path: Path) -> dict[str, Asked]:
    """What was kept, by the name of the server; nothing where nothing was."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {
        name: Asked(one["day"], one["version"], {probe: Seen(**seen) for probe, seen in one["seen"].items()})
        for name, one in kept.items()
    }


def write_results(path: Path, results: Mapping[str, Asked]) -> None:
    """Keep ``results``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {name: asdict(one) for name, one in results.items()}
    path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
