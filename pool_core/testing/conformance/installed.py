"""The kit against an installed plugin: with the classes that it ships, and a bare one for what it does not look at."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from importlib import import_module
from itertools import chain, count
from pathlib import Path

from pool_core.errors import PluginError
from pool_core.registry import Entry, Plugin, Registry
from pool_core.registry.loading import list_missing
from pool_core.registry.records import Kind
from pool_core.testing.conformance.backend import BackendConformance
from pool_core.testing.conformance.base import PluginConformance
from pool_core.testing.conformance.policy import PolicyConformance
from pool_core.testing.conformance.prompt_format import PromptFormatConformance
from pool_core.testing.conformance.reader import ReaderConformance
from pool_core.testing.conformance.task import TaskConformance
from pool_core.testing.conformance.writer import WriterConformance
from pool_core.watchdog import describe_error

__all__ = ["KITS", "collect_suite", "run_suite"]

#: The class that each kind of thing has to pass.
KITS: dict[Kind, type[PluginConformance]] = {
    "task": TaskConformance,
    "backend": BackendConformance,
    "policy": PolicyConformance,
    "prompt_format": PromptFormatConformance,
    "reader": ReaderConformance,
    "writer": WriterConformance,
}

_MODULE = """
from pool_core.testing.conformance.installed import collect_suite
globals().update(collect_suite({name!r}))
"""


def collect_suite(name: str, registry: Registry | None = None) -> dict[str, type[PluginConformance]]:
    """The conformance classes of the plugin ``name``, by the names under which pytest collects them.

    Everything that the plugin contributes is in it: what none of its own classes tests has the bare
    class of its kind, whose checks fail where they need examples.

    Args:
        name: The plugin, or its distribution: then all plugins of it.

    Raises:
        PluginError: no such plugin is active, or its classes cannot be imported.
    """
    registry = registry or Registry.discover()
    found = [plugin for plugin in registry.plugins if name in (plugin.record.name, plugin.record.distribution)]
    if not found:
        raise PluginError(f"no plugin {name!r} is installed", hint="see `pool plugins list`")
    suite: dict[str, type[PluginConformance]] = {}
    for plugin in found:
        if plugin.state != "active":
            raise PluginError(f"the plugin {plugin.record.name!r} is {plugin.state}: {plugin.reason}")
        for module in registry.list_suites(plugin.record.name):
            _add(suite, _find_classes(module, plugin))
        _add(suite, _make_classes(plugin, suite.values()))
    return suite


def _add(suite: dict[str, type[PluginConformance]], classes: Iterable[tuple[str, type[PluginConformance]]]) -> None:
    """Add the classes, each under a name that is free: two modules may have classes of one name."""
    for name, cls in classes:
        if cls in suite.values():
            continue
        names = chain([name], (f"{name}{number}" for number in count(2)))
        suite[next(free for free in names if free not in suite)] = cls


def run_suite(name: str, *, results: Path | None = None, arguments: Sequence[str] = ()) -> int:
    """Run the conformance classes of the plugin ``name`` in a pytest process. Returns its exit code.

    0: all hold. 1: some do not. 2: there is no such plugin. 5: it contributes nothing that a kit is for.

    Args:
        name: The plugin, or its distribution.
        results: A file for the results, a JSON object a line: ``class``, ``use``, ``check``, ``case``,
            ``outcome`` (``passed``, ``failed``, ``skipped``) and ``message``.
        arguments: More arguments of pytest's, such as ``-k test_fault``.
    """
    with tempfile.TemporaryDirectory(prefix="pool-conformance-") as folder:
        # a folder and a configuration of its own: whatever stands where a person works decides nothing
        path = Path(folder)
        (path / "test_installed.py").write_text(_MODULE.format(name=name), encoding="utf-8")
        (path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-p", "pool_core.testing", "-p", "no:cacheprovider", "-q"]
        command += [f"--pool-results={results.resolve()}"] if results else []
        command += [*arguments, "test_installed.py"]
        environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        environment.pop("PYTEST_ADDOPTS", None)
        return subprocess.run(command, cwd=path, env=environment, check=False).returncode  # noqa: S603 - our own


def _find_classes(module: str, plugin: Plugin) -> list[tuple[str, type[PluginConformance]]]:
    """The classes of a module that the plugin names."""
    try:
        names = vars(import_module(module))
    except Exception as error:
        shown = f"the module {module!r} that the plugin {plugin.record.name!r} names fails: {describe_error(error)}"
        raise PluginError(shown, hint=_write_hint(error, plugin)) from error
    return [
        (name if name.startswith("Test") else f"Test{name}", value)
        for name, value in names.items()
        if isinstance(value, type) and issubclass(value, PluginConformance) and value.use
    ]


def _write_hint(error: Exception, plugin: Plugin) -> str:
    """What installs a module that is missing: all that the plugin offers is checked, what is optional as well."""
    if not isinstance(error, ModuleNotFoundError):
        return ""
    missing = {entry.contribution.install: None for entry in plugin.entries if list_missing(entry.contribution)}
    wanted = [f'"{text}"' for text in missing if text]
    return f"pip install {' '.join(wanted)}" if wanted else f"install {error.name}"


def _make_classes(
    plugin: Plugin, known: Collection[type[PluginConformance]]
) -> Iterator[tuple[str, type[PluginConformance]]]:
    """A bare class for everything that the plugin contributes and none of the known classes tests."""
    for entry in plugin.entries:
        kit = KITS[entry.kind]
        if not any(issubclass(one, kit) and one.use in (entry.qualified, entry.name) for one in known):
            yield _make_name(entry), type(_make_name(entry), (kit,), {"use": entry.qualified})


def _make_name(entry: Entry) -> str:
    words = f"{entry.name}-{entry.kind}".replace("_", "-").replace(".", "-").split("-")
    return f"Test{''.join(word.capitalize() for word in words)}"
