"""First stage: what is installed. Reads metadata, imports no plugin.

The only module that imports importlib_metadata, which behaves alike on every Python and, unlike
the standard library's, still finds a distribution whose interrupted upgrade left a stale folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from importlib_metadata import EntryPoints, distributions
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from pool_core.registry.records import Record

__all__ = ["discover_records"]

_GROUP = re.compile(r"pool_core\.plugins\.v(\d+)")


def discover_records(path: Iterable[str] | None = None) -> list[Record]:
    """All plugins of all installed distributions, sorted by name, made for any major of the API.

    ``path`` has the folders to look in instead of ``sys.path``. Of two copies of one distribution
    the first on the path counts, as it does for the import.
    """
    found = distributions() if path is None else distributions(path=list(path))
    records: dict[tuple[str, str, int], Record] = {}
    seen: set[str] = set()
    for distribution in found:
        text = distribution.read_text("entry_points.txt")
        if text is None or "pool_core.plugins." not in text:
            continue
        for record in _read_distribution(distribution):
            if canonicalize_name(record.distribution) not in seen:
                records.setdefault((record.distribution, record.name, record.api_major), record)
        seen.update(canonicalize_name(record.distribution) for record in records.values())
    return sorted(records.values(), key=lambda record: (record.name, record.distribution, record.api_major))


def _read_distribution(distribution: Any) -> Iterable[Record]:
    metadata = distribution.metadata
    name = (metadata["Name"] if metadata is not None else None) or "unknown"
    version = (metadata["Version"] if metadata is not None else None) or ""
    points: EntryPoints = distribution.entry_points
    for point in points:
        matched = _GROUP.fullmatch(point.group)
        if matched:
            yield Record(
                name=point.name,
                module=point.value,
                distribution=name,
                version=version,
                api_major=int(matched[1]),
                requires_core=_find_core_requirement(distribution.requires or ()),
                editable=_is_editable(distribution),
            )


def _find_core_requirement(requirements: Iterable[str]) -> str:
    for text in requirements:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # pip has installed it all the same; only pool-core's own line matters here
        if canonicalize_name(requirement.name) == "pool-core" and requirement.marker is None:
            return str(requirement.specifier)
    return ""


def _is_editable(distribution: Any) -> bool:
    origin = distribution.origin
    return bool(getattr(getattr(origin, "dir_info", None), "editable", False))
