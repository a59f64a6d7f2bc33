"""First stage: what is installed. Reads metadata, imports no plugin.

The only module that imports importlib_metadata, which behaves alike on every Python. What it makes
of broken metadata differs between its versions: here a plugin whose metadata is broken is a record
that says so, and nothing of it stops the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from importlib_metadata import EntryPoint, distributions
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from pool_core.api import PLUGIN_API
from pool_core.registry.records import Record

__all__ = ["discover_records"]

_GROUP = re.compile(r"pool_core\.plugins\.v(\d+)")
_MARK = "pool_core.plugins."
_NAME = re.compile(r"[a-z0-9]+(?:[-_.][a-z0-9]+)*")


def discover_records(path: Iterable[str] | None = None) -> list[Record]:
    """All plugins of all installed distributions, sorted by name, made for any major of the API.

    ``path`` has the folders to look in instead of ``sys.path``. Of two copies of one distribution
    the first on the path counts, as it does for the import.
    """
    where = {} if path is None else {"path": list(path)}
    records: list[Record] = []
    seen: set[str] = set()
    for distribution in distributions(**where):
        if not _offers_plugins(distribution):
            continue
        metadata = _read_metadata(distribution)
        if metadata is None:
            folder = _find_folder(distribution).resolve()
            if str(folder) not in seen:  # it may be on the path twice
                seen.add(str(folder))
                records.append(_describe_unnamed(folder))
        elif canonicalize_name(metadata["Name"]) not in seen:
            seen.add(canonicalize_name(metadata["Name"]))
            copies = distributions(name=metadata["Name"], **where)
            records += _read_distribution(*_choose_copy(distribution, metadata, copies))
    return sorted(records, key=lambda record: (record.name, record.distribution, record.api_major))


def _offers_plugins(distribution: Any) -> bool:
    try:
        return _MARK in (distribution.read_text("entry_points.txt") or "")
    except UnicodeDecodeError as error:
        return _MARK.encode() in error.object


def _read_metadata(distribution: Any) -> Any:
    """The parsed METADATA; None where it is not there, has no name or is no text."""
    try:
        metadata = distribution.metadata
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return metadata if metadata is not None and metadata.get("Name") else None


def _choose_copy(distribution: Any, metadata: Any, copies: Iterable[Any]) -> tuple[Any, Any]:
    """The first copy on the path that can be read, with its metadata: it may be one that offers no plugin."""
    for copy in copies:
        if _find_folder(copy) == _find_folder(distribution):
            break
        if (found := _read_metadata(copy)) is not None:
            return copy, found
    return distribution, metadata


def _find_folder(distribution: Any) -> Path:
    return Path(str(getattr(distribution, "_path", "unknown")))


def _read_distribution(distribution: Any, metadata: Any) -> Iterator[Record]:
    name, version = str(metadata["Name"]), str(metadata.get("Version") or "")
    try:
        points = _find_points(distribution)
    except Exception as error:  # noqa: BLE001 - a text file that anything may stand in
        problem = f"its entry_points.txt cannot be read ({type(error).__name__}). Reinstall {name}"
        yield Record(name, "", name, version, PLUGIN_API, problem=problem)
        return
    requires = metadata.get_all("Requires-Dist") or distribution.requires or ()
    for point, major in points:
        yield Record(
            name=point.name,
            module=_read_module(point),
            distribution=name,
            version=version,
            api_major=major,
            requires_core=_find_core_requirement(requires),
            editable=_is_editable(distribution),
            problem="" if _NAME.fullmatch(point.name) else _describe_name(point.name),
        )


def _describe_name(name: str) -> str:
    return f"{name!r} is no name of a plugin; its authors can use small letters, digits and hyphens"


def _describe_unnamed(folder: Path) -> Record:
    """A folder whose METADATA does not say what it is: to be seen, and not to be loaded."""
    name, _, version = folder.stem.partition("-")
    problem = (
        f"{folder} has no METADATA with a name, as an interrupted installation leaves it. "
        "Delete the folder, or reinstall the plugin"
    )
    return Record(canonicalize_name(name), "", canonicalize_name(name), version, PLUGIN_API, problem=problem)


def _find_points(distribution: Any) -> list[tuple[EntryPoint, int]]:
    """The entry points that are plugins, each with the major version of its API."""
    found = ((point, _GROUP.fullmatch(point.group)) for point in distribution.entry_points)
    return [(point, int(matched[1])) for point, matched in found if matched]


def _read_module(point: EntryPoint) -> str:
    """``module`` or ``module:attribute``, without the extras that old packages write behind it."""
    return point.value.partition("[")[0].strip()


def _find_core_requirement(requirements: Iterable[str]) -> str:
    """What the distribution asks of pool-core here: all its lines whose markers hold, together."""
    found = SpecifierSet()
    for text in requirements:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # pip has installed it all the same; only pool-core's own lines matter here
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if canonicalize_name(requirement.name) == "pool-core" and applies:
            found &= requirement.specifier
    return str(found)


def _is_editable(distribution: Any) -> bool:
    try:
        origin = distribution.origin
    except ValueError:
        return False  # a direct_url.json that is no JSON tells nothing
    return bool(getattr(getattr(origin, "dir_info", None), "editable", False))
