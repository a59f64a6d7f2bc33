"""Fake distributions: installed plugins for a test, written into a folder without pip.

A test puts the folder on the path (``PYTHONPATH`` of a process, or `pool_core.Registry.discover` with
``path=``) and sees what a person with that plugin installed would see.
"""

from __future__ import annotations

import csv
import io
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

__all__ = ["write_distribution"]

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_MODULE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")


def write_distribution(
    folder: Path,
    *,
    name: str = "pool-x",
    version: str = "1.0",
    entry_points: Mapping[str, Mapping[str, str]] | None = None,
    modules: Mapping[str, str] | None = None,
    requires: Iterable[str] = (),
    editable: bool = False,
) -> Path:
    """Write a distribution into ``folder`` as an installer would have left it.

    ::

        write_distribution(
            tmp_path,
            name="pool-x",
            entry_points={"pool_core.plugins.v1": {"x": "pool_x"}},
            modules={"pool_x": "from pool_core.api import hookimpl"},
            requires=["pool-core>=0.1"],
        )

    Args:
        folder: Where to write; made where it is missing.
        name: Name of the distribution.
        version: Its version.
        entry_points: Group to entry-point name to ``module`` or ``module:attribute``.
        modules: Dotted module name to its source. ``pool_x.task`` makes ``pool_x`` a package.
        requires: Requirements, as in ``pool-core>=0.1``.
        editable: Whether it looks like one of ``pip install --editable``.

    Returns:
        The ``.dist-info`` folder.

    Raises:
        ValueError: ``name`` or a module's name is none.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a distribution")
    info = f"{re.sub(r'[-_.]+', '_', name).lower()}-{version}.dist-info"
    files = dict(_lay_out_modules(modules or {}))
    files[f"{info}/METADATA"] = _write_metadata(name, version, requires)
    files[f"{info}/INSTALLER"] = "pool-core\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: pool-core\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    if entry_points:
        files[f"{info}/entry_points.txt"] = _write_entry_points(entry_points)
    if editable:
        files[f"{info}/direct_url.json"] = json.dumps(
            {"url": folder.resolve().as_uri(), "dir_info": {"editable": True}}
        )
    files[f"{info}/RECORD"] = _write_record(files, f"{info}/RECORD")
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(text.encode())
    return folder / info


def _lay_out_modules(modules: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """The files of ``modules``: those that others stand in are packages, missing packages are empty."""
    for module in modules:
        if not _MODULE.fullmatch(module):
            raise ValueError(f"{module!r} is no name of a module")
    parts = [module.split(".") for module in modules]
    packages = {".".join(names[:end]) for names in parts for end in range(1, len(names))}
    for module in sorted({*modules, *packages}):
        path = module.replace(".", "/")
        yield (f"{path}/__init__.py" if module in packages else f"{path}.py"), modules.get(module, "")


def _write_metadata(name: str, version: str, requires: Iterable[str]) -> str:
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    return "\n".join(lines) + "\n"


def _write_entry_points(entry_points: Mapping[str, Mapping[str, str]]) -> str:
    sections = [
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in points.items())])
        for group, points in entry_points.items()
    ]
    return "\n\n".join(sections) + "\n"


def _write_record(files: Mapping[str, str], record: str) -> str:
    """The list of all files with hash and size; its own line has neither."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for path, text in files.items():
        digest = urlsafe_b64encode(sha256(text.encode()).digest()).rstrip(b"=").decode()
        writer.writerow([path, f"sha256={digest}", len(text.encode())])
    writer.writerow([record, "", ""])
    return buffer.getvalue()
