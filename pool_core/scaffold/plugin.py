"""Writes the files of a new plugin, from the templates beside this module."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Literal, TypeAlias, get_args

import pool_core
from pool_core.errors import UsageError
from pool_core.registry import Record

__all__ = ["KINDS", "NewPlugin", "PluginKind", "name_plugin", "write_plugin"]

PluginKind: TypeAlias = Literal["task", "backend", "policy", "hook"]
KINDS: tuple[PluginKind, ...] = get_args(PluginKind)

_FILES = Path(__file__).parent / "files"
_ENDING = ".template"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 40
_IMPORT = re.compile(r"^ *from \S+ import (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class NewPlugin:
    """A plugin that is to be written, by its names."""

    name: str
    kind: PluginKind

    @property
    def distribution(self) -> str:
        return f"pool-{self.name}"

    @property
    def package(self) -> str:
        return f"pool_{self.name.replace('-', '_')}"

    @property
    def class_name(self) -> str:
        name = "".join(word.capitalize() for word in self.name.split("-"))
        taken = hasattr(builtins, name) or name in _list_imported(self.kind)
        return f"My{name}" if taken else name


def name_plugin(name: str, kind: PluginKind, installed: Iterable[Record]) -> NewPlugin:
    """A plugin of that name, which may be written as its distribution's: ``haiku`` and ``pool-haiku`` are the same.

    Raises:
        UsageError: it is no name, or it is taken on this machine.
    """
    short = name.removeprefix("pool-")
    if not _NAME.fullmatch(short) or len(short) > _LONGEST:
        raise UsageError(
            f"{name!r} is no name of a plugin",
            hint=f"small letters, digits and single hyphens, a letter first, {_LONGEST} at most, such as `haiku`",
        )
    plugin = NewPlugin(short, kind)
    hint = "choose another name: of two plugins with one name neither is loaded"
    for record in installed:
        if record.name == short:
            raise UsageError(f"the plugin name {short!r} is taken by {record}", hint=hint)
    if find_spec(plugin.package) is not None:
        raise UsageError(f"the package {plugin.package!r} is there already", hint="choose another name")
    return plugin


def write_plugin(plugin: NewPlugin, into: Path) -> tuple[Path, list[Path]]:
    """Write the plugin into a new folder of ``into``. Nothing is overwritten.

    Returns:
        The folder, and its files, relative to it.

    Raises:
        UsageError: the folder is there already, or cannot be written.
    """
    folder = into / plugin.distribution
    files = dict(sorted(_render_files(plugin)))
    try:
        folder.mkdir(parents=True)
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except FileExistsError:
        raise UsageError(
            "it is there already, and nothing is overwritten",
            where=str(folder),
            hint="choose another name, or another place: --into DIR",
        ) from None
    except OSError as error:
        raise UsageError(
            f"it cannot be written: {error.strerror}", where=str(folder), hint="choose another place: --into DIR"
        ) from error
    return folder, list(files)


def _render_files(plugin: NewPlugin) -> Iterator[tuple[Path, str]]:
    words = {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "package": plugin.package,
        "class_name": plugin.class_name,
        "core": _write_requirement(pool_core.__version__),
        "kind": plugin.kind,
    }
    for part in ("common", plugin.kind):
        for template in sorted((_FILES / part).rglob(f"*{_ENDING}")):
            path = str(template.relative_to(_FILES / part)).removesuffix(_ENDING)
            text = template.read_text(encoding="utf-8")
            yield Path(Template(path).substitute(words)), Template(text).substitute(words)


def _list_imported(kind: PluginKind) -> set[str]:
    """What the templates import by name: a class of such a name would stand in its place."""
    texts = (template.read_text(encoding="utf-8") for template in (_FILES / kind).rglob(f"*.py{_ENDING}"))
    return {name.strip() for text in texts for names in _IMPORT.findall(text) for name in names.split(",")}


def _write_requirement(version: str) -> str:
    """The versions of pool-core that keep what this one promises: before 1.0 a minor version may break things."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return f">={major}.{minor},<{major}.{minor + 1}" if major == 0 else f">={major}.{minor},<{major + 1}"
