"""Writes the oldest dependencies that the distributions of this repository allow, as pip wants them.

``python lowest.py FILE FOLDER...`` reads each folder's pyproject.toml, its optional dependencies included.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

__all__ = ["list_floors"]

#: Extras whose packages need newer ones than the distribution itself does.
_APART = {"prices"}


def list_floors(folders: Iterable[Path]) -> list[str]:
    """``name==version`` of every dependency on others, each with the highest of its floors.

    Raises:
        ValueError: a dependency has no floor.
    """
    floors: dict[str, str] = {}
    projects = [tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"] for folder in folders]
    own = {project["name"] for project in projects}
    for requirement in (Requirement(text) for project in projects for text in _list_dependencies(project)):
        if requirement.name.lower() in own:
            continue
        found = [one.version for one in requirement.specifier if one.operator in (">=", "==", "~=")]
        if len(found) != 1:
            raise ValueError(f"{requirement} has no floor")
        known = floors.get(requirement.name, "0")
        floors[requirement.name] = max(known, found[0], key=_split)
    return [f"{name}=={version}" for name, version in sorted(floors.items())]


def _list_dependencies(project: dict[str, Any]) -> Iterator[str]:
    yield from project.get("dependencies", [])
    for name, extra in project.get("optional-dependencies", {}).items():
        if name not in _APART:
            yield from extra


def _split(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


if __name__ == "__main__":
    file, *folders = map(Path, sys.argv[1:])
    file.write_text("\n".join(list_floors(folders)) + "\n", encoding="utf-8")
